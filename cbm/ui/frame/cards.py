"""Headline figures and a page's title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Headline:
    """One figure of a page's first row."""

    label: str
    value: str
    help: str
    delta: str | None = None
    """A change, with its sign first, or a comparison in words."""


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


def page_title(title: str, sentence: str) -> None:
    st.title(title, anchor=False)
    st.markdown(sentence)
