"""Which class's score is explained: that of the class that is predicted now, or of one that the visitor chose."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.ui.frame.slots import Slot

PREDICTION = "the prediction"


def explained_class(choice: Slot[str]) -> str | None:
    """The class that was chosen; None means the one that is predicted now."""
    return None if choice.get() == PREDICTION else choice.get()


def explained_class_menu(
    choice: Slot[str], leading: Sequence[str | None], classes: Sequence[str], *, truth: str | None, width: int, in_link: bool = False
) -> None:
    """The menu of classes.

    Args:
        choice: of the page; its key is the menu's.
        leading: classes to offer first, such as the predicted one.
        in_link: whether the URL keeps the choice; the menu is then beside a heading and shows no label of its own.
    """
    st.selectbox(
        "Explain the score of",
        [PREDICTION, *dict.fromkeys(name for name in (*leading, *classes) if name)],
        key=choice.key,
        bind="query-params" if in_link else None,
        format_func=lambda name: f"{name} (truth)" if name == truth else name,
        label_visibility="collapsed" if in_link else "visible",
        help="Whose score is explained" if in_link else None,
        width=width,
    )
