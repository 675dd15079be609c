"""Headline figures, a page's title, and how errors are told."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.study.views import Headline


def headline_row(headlines: Sequence[Headline], *, key: str) -> None:
    with st.grid(max(1, len(headlines)), min_column_width=150, gap="small", key=key) as grid:
        for headline in headlines:
            change = (headline.delta or "").startswith(("+", "-")) and not (headline.delta or "").startswith("+0.0")
            grid.metric(
                headline.label,
                headline.value,
                headline.delta,
                help=headline.help,
                border=True,
                height="stretch",
                delta_color="normal" if change else "off",
                delta_arrow="auto" if change else "off",
            )


def show_error(message: str, *, hint: str | None = None) -> None:
    """A mistake that a user can mend: what was wrong, and what to do next."""
    # Messages repeat what stood in an address, which whoever made the link chose: no links and no pictures come of that.
    st.error(message.replace("[", "\\["), icon=":material/error:")
    if hint:
        st.caption(hint)


def page_title(title: str, sentence: str) -> None:
    st.title(title, anchor=False)
    st.markdown(sentence)
