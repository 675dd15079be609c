"""The card where there is nothing yet: why that is, and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import streamlit as st

from cbm.ui.frame.state import StartPage


@contextlib.contextmanager
def empty_card(title: str, why: str, *, icon: str, key: str | None = None) -> Iterator[None]:
    """A card with a heading and one sentence or two; what is drawn inside the `with` block, links and buttons, says what to do.

    Args:
        icon: a Material symbol (":material/category:").
    """
    with st.container(border=True, horizontal_alignment="center", key=key):
        st.markdown(f"## {icon}", text_alignment="center", anchors=False)
        st.subheader(title, anchor=False, text_alignment="center", width="stretch")
        st.markdown(why, text_alignment="center")
        with st.container(horizontal=True, horizontal_alignment="center"):
            yield


def no_models(things: str) -> None:
    """A page that needs a model, in a workspace without one."""
    why = (
        "This workspace has no concept model. Build the demo on the start page (a few minutes, nothing is downloaded), "
        "or train one of your own with `cbm embed`, `discover`, `name` and `train`."
    )
    with empty_card(f"No {things} yet", why, icon=":material/deployed_code:"):
        StartPage().link().draw("Go to start", icon=":material/arrow_forward:")


def nothing_found(sentence: str, *, hint: str = "Try a shorter word, or show all concepts.") -> None:
    """A search or a filter that leaves nothing."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f":material/search_off: {sentence}", text_alignment="center")
        if hint:
            st.caption(hint, text_alignment="center")
