"""What stands where there is nothing yet: it says why, and what to do."""

from __future__ import annotations

import streamlit as st

from cbm.ui.frame import navigation


def no_models(things: str) -> None:
    """A page that needs a model, in a workspace without one."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("## :material/deployed_code:", text_alignment="center", anchors=False)
        st.subheader(f"No {things} yet", anchor=False, text_alignment="center", width="stretch")
        st.markdown(
            "This workspace has no concept model. Build the demo on the start page (a few minutes, nothing is downloaded), "
            "or train one of your own with `cbm embed`, `discover`, `name` and `train`.",
            text_alignment="center",
        )
        st.page_link(navigation.START, label="Go to start", icon=":material/arrow_forward:")


def nothing_found(sentence: str) -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":material/search_off: {sentence}", text_alignment="center")
        st.caption("Try a shorter word, or show all concepts.", text_alignment="center")
