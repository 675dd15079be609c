"""One class: what makes it, what it looks like, and where it goes wrong."""

from __future__ import annotations

import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study.class_view import CONCEPTS, ClassView, concepts_with_pictures
from cbm.study.study import Study
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import ClassifyPage, ConceptPage
from cbm.ui.widgets import figures, thumbnails
from cbm.ui.widgets.figures.explanations import class_concept_bars, concept_streams
from cbm.ui.widgets.galleries import concept_picture, correction_links, picture_grid


def _leave() -> None:
    ClassifyPage.put(of_class=None)


def _jump(key: str) -> None:
    ClassifyPage.put(of_class=widget_value(key))


def one_class(study: Study, recipe: Recipe, detail: ClassView) -> None:
    """The class's figures, its concepts with their pictures, then its images."""
    row = detail.row
    st.button("All classes", key=ClassifyPage.key("back"), icon=":material/arrow_back:", type="tertiary", on_click=_leave)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(plain(row.name), anchor=False, width="stretch")
        key = ClassifyPage.key("jump", row.index)
        st.selectbox("Another class", study.class_names, index=row.index, key=key, on_change=_jump, args=(key,), width=240)
    _figures(detail)
    left, right = st.columns([1, 1], gap="large")
    with left:
        _bars(detail, row.name)
    with right:
        _streams(detail, row.name)
    _concept_cards(study, recipe, detail)
    _images(detail)
    _mistakes(study, detail)


def _figures(detail: ClassView) -> None:
    row = detail.row
    with st.grid(4, min_column_width=140, gap="small", key=ClassifyPage.key("class_facts")) as grid:
        grid.metric(
            "Accuracy",
            "–" if row.accuracy is None else percent(row.accuracy),
            help=f"Share of its {row.images:,} held-out images that are right (recall).",
            border=True,
        )
        grid.metric(
            "Precision",
            "–" if row.precision is None else percent(row.precision),
            help="Share of the images predicted as this class that belong to it.",
            border=True,
        )
        grid.metric("Held-out images", f"{row.images:,}", help="Labelled held-out images of this class.", border=True)
        grid.metric(
            "Concepts", f"{len(detail.concepts):,}", help="Concepts with a weight for this class, with your edits applied.", border=True
        )


def _bars(detail: ClassView, name: str) -> None:
    st.subheader("What makes it", anchor=False)
    if not detail.concepts:
        st.caption("No concept has a weight for this class: its score is the bias alone.")
        return
    shown = detail.concepts[:12]
    st.caption(f"What each concept adds to the score of “{plain(name)}” on its own images, on average; bias {figures.signed(detail.bias)}.")
    st.plotly_chart(
        class_concept_bars(shown),
        key=ClassifyPage.key("class_concepts"),
        config=figures.CHART_OPTIONS,
        alt=f"Mean contributions to {name}: " + ", ".join(f"{entry.name} {figures.signed(entry.contribution)}" for entry in shown),
    )


def _streams(detail: ClassView, name: str) -> None:
    st.subheader("Which other classes they support", anchor=False)
    targets = {flow.target for flow in detail.flows}
    if len(targets) < 2:
        st.caption("Its concepts support none of the classes that it is confused with.")
        return
    st.caption("The same concepts on the same images: what they contribute to this class, and to the classes it is confused with.")
    st.plotly_chart(
        concept_streams(detail.flows, name, thumbnails.ink()),
        key=ClassifyPage.key("class_streams"),
        config=figures.CHART_OPTIONS,
        alt=f"Streams from concepts to {', '.join(sorted(targets))}",
    )


def _concept_cards(study: Study, recipe: Recipe, detail: ClassView) -> None:
    shown = detail.concepts[:CONCEPTS]
    if not shown:
        return
    st.subheader("Its concepts", anchor=False)
    entries = {entry.index: entry for entry in shown}
    with st.grid(4, min_column_width=145, gap="small", border=True, key=ClassifyPage.key("class_concept_cards")) as grid:
        for tile in concepts_with_pictures(study, shown, recipe):
            entry = entries[tile.index]
            with grid.cell():
                concept_picture(tile.uris, entry.name, ConceptPage(entry.index))
                st.caption(f"weight {figures.signed(entry.weight)} · in {entry.frequency:.0%} of its images")


def _images(detail: ClassView) -> None:
    left, right = st.columns(2, gap="large")
    for place, title, tiles, help_text in (
        (left, "Typical", detail.typical, "Correct predictions with the largest margin over the next class."),
        (right, "Atypical", detail.atypical, "Correct predictions with the smallest margin over the next class."),
    ):
        with place:
            st.subheader(title, anchor=False, help=help_text + " The number is the margin in logits.")
            if tiles:
                picture_grid(tiles, key=ClassifyPage.key(f"class_{title.lower()}"), width=88)
            else:
                st.caption("No correct prediction to show.")


def _mistakes(study: Study, detail: ClassView) -> None:
    st.subheader("Its mistakes", anchor=False)
    if not detail.missed_count and not detail.alarm_count:
        st.caption("None on the held-out images.")
        return
    left, right = st.columns(2, gap="large")
    for place, text, tiles, count, name in (
        (left, "predicted as another class", detail.missed, detail.missed_count, "missed"),
        (right, "of another class, predicted as this one", detail.alarms, detail.alarm_count, "alarms"),
    ):
        with place:
            st.markdown(f"**{counted(count, 'image')} {text}**" + (f", {len(tiles)} shown" if count > len(tiles) else ""))
            correction_links(study, tiles, key=ClassifyPage.key(f"class_{name}"))
