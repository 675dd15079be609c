"""Whether the model is right, and whether the visitor's edits made it so: never by colour alone."""

from __future__ import annotations

import streamlit as st


def verdict_badges(correct: bool | None, *, changed: bool) -> None:
    """Badges beside a predicted class.

    Args:
        correct: None where the image has no label that the model knows.
        changed: whether the edits in force change the prediction.
    """
    if correct is not None:
        st.badge(
            "right" if correct else "wrong",
            icon=":material/check:" if correct else ":material/close:",
            color="green" if correct else "orange",
        )
    if changed:
        st.badge("changed by your edits", icon=":material/edit:", color="violet")
