"""Headline figures, the pipeline's cards, and what stands where there is nothing yet."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.ui.views import Headline, Stage


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


def pipeline(stages: Sequence[Stage], *, key: str) -> None:
    """The stages from images to a model, in order, each with its state."""
    with st.grid(max(1, len(stages)), min_column_width=146, gap="small", border=True, key=key) as grid:
        for number, stage in enumerate(stages, start=1):
            with grid.cell():
                state = ":green[:material/check_circle: done]" if stage.done else ":gray[:material/radio_button_unchecked: to do]"
                st.caption(f"{number} · {state}")
                st.markdown(f"{stage.icon} **{stage.title}**")
                st.markdown(f"##### {stage.figure if stage.done else '–'}", anchors=False)
                st.caption(stage.text)


def show_error(message: str, *, hint: str | None = None) -> None:
    """A mistake that a user can mend: what was wrong, and what to do next."""
    st.error(message, icon=":material/error:")
    if hint:
        st.caption(hint)


def page_title(title: str, sentence: str) -> None:
    st.title(title, anchor=False)
    st.markdown(sentence)
