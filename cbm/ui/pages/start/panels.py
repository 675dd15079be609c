"""What the start page draws: one prediction read aloud, the pipeline's cards, the guided scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from cbm.study.views import PredictionView
from cbm.ui.access import modes
from cbm.ui.frame import navigation
from cbm.ui.frame.text import plain
from cbm.ui.pages.start.pipeline import Step
from cbm.ui.widgets import figures
from cbm.ui.widgets.guides import Guide
from cbm.ui.widgets.thumbnails import strip, theme, thumbnail

_READ = 5
"""Bars of the prediction that is read aloud; the others are summed into one."""
_STATES = {
    "done": ":green[:material/check_circle: done]",
    "next": ":blue[:material/arrow_circle_right: next]",
    "later": ":gray[:material/radio_button_unchecked: later]",
}
_WRITING_PAGES = (navigation.DATA, navigation.DISCOVER)


def read_aloud(view: PredictionView, *, key: str) -> None:
    """One image, what the model says, and the concepts that said so."""
    shown, others = view.bars[:_READ], view.bars[_READ:]
    with st.container(border=True, key=key):
        left, right = st.columns([3, 8], gap="medium")
        with left:
            st.image(thumbnail(view.uri, 320), width="stretch", alt=f"Image {view.item}, taken for {view.predicted_after}")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{plain(view.predicted_after)}**", width="content")
                if view.correct_after is not None:
                    st.badge(
                        "right" if view.correct_after else "wrong",
                        icon=":material/check:" if view.correct_after else ":material/close:",
                        color="green" if view.correct_after else "orange",
                    )
        with right:
            st.markdown(_reasons(view))
            st.plotly_chart(
                figures.contribution_bars(
                    shown, rest=view.rest + sum(bar.value for bar in others), bias=view.bias, target=view.predicted_after
                ),
                key=f"{key}-bars",
                config=figures.CHART_OPTIONS,
                alt="Contributions: " + ", ".join(f"{bar.name} {figures.signed(bar.value)}" for bar in shown),
            )


def _reasons(view: PredictionView) -> str:
    speaking = [bar for bar in view.bars[:3] if bar.value > 0]
    named = [f"*{plain(bar.name)}* ({bar.share:.0%} of the score)" for bar in speaking]
    because = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    reasons = f", above all because of {because}" if because else ""
    return (
        f"The model says **{plain(view.predicted_after)}**{reasons}. "
        "The bars sum to the score: nothing else plays a part, so changing a bar changes the prediction."
    )


def pipeline(steps: Sequence[Step], *, address: Mapping[str, str], key: str) -> None:
    """The line from images to a corrected model; each card leads to its page, where this mode has one."""
    with st.grid(len(steps), min_column_width=150, gap="small", border=True, key=key) as grid:
        for number, step in enumerate(steps, start=1):
            with grid.cell(), st.container(height="stretch", vertical_alignment="distribute", gap="small"):
                with st.container(gap="xsmall"):
                    st.caption(f"{number} · {_STATES[step.state]}")
                    st.markdown(f"{step.icon} **{step.title}**")
                    st.markdown(f"##### {plain(step.figure)}", anchors=False)
                    st.caption(plain(step.text))
                if step.state != "later" and (modes.may_write() or step.page not in _WRITING_PAGES):
                    st.page_link(
                        step.page,
                        label=step.action,
                        icon=":material/arrow_forward:",
                        icon_position="right",
                        query_params={**address, **step.parameters},
                    )


def guide(found: Guide, *, address: Mapping[str, str]) -> None:
    """One scenario as a card; its button opens the page with everything preset."""
    # The button stands at the foot of its card, however long the text is, so that the three are in line.
    with st.container(height="stretch", vertical_alignment="distribute", gap="small"):
        with st.container(gap="small"):
            st.markdown(f"##### {found.icon} {found.title}", anchors=False)
            if len(found.uris) > 1:
                st.image(strip(found.uris, theme(), rows=1), width=84 * min(3, len(found.uris)), alt=found.alt)
            else:
                st.image(thumbnail(found.uris[0]), width=84, alt=found.alt)
            st.markdown(found.hypothesis)
            st.markdown(f":primary[**Do**] {found.action}")
            st.markdown(f":primary[**Expect**] {found.change}")
            st.caption(found.meaning)
        if st.button(found.button, key=f"guide_{found.key}", icon=found.icon, width="stretch"):
            st.switch_page(found.page, query_params={**address, **found.parameters})


def guides(found: Sequence[tuple[Guide, Mapping[str, str]]], *, key: str) -> None:
    """The scenarios beside each other, each with the query parameters of its model."""
    with st.grid(len(found), min_column_width=270, gap="small", border=True, key=key) as grid:
        for scenario, address in found:
            with grid.cell():
                guide(scenario, address=address)
