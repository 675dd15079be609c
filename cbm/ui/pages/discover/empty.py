"""What stands on the discover page where there is nothing to discover in, or nothing discovered."""

from __future__ import annotations

import streamlit as st

from cbm.ui.frame import navigation


def no_images() -> None:
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("## :material/travel_explore:", text_alignment="center", anchors=False)
        st.subheader("No images to discover concepts in", anchor=False, text_alignment="center", width="stretch")
        st.markdown(
            "Concepts are found in embeddings: the numbers by which a CLIP backbone describes an image. "
            "Bring images, or vectors that exist, on the data page; labels are not needed for discovering.",
            text_alignment="center",
        )
        st.page_link(navigation.DATA, label="Bring images", icon=":material/photo_library:")


def no_runs() -> None:
    st.markdown(
        "Nothing has been discovered yet. The settings below suit your images; start with them. You will see how much of the images "
        "the concepts keep, how that compares with simpler ways, and what each concept looks like."
    )
