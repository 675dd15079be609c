"""The panels of the classify page: headline figures, accuracy against readability, classes, and the confusion matrix with its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study import classes
from cbm.study.classes import ClassReport
from cbm.study.study import Study
from cbm.study.views import Headline
from cbm.ui.frame import cards, navigation, selections, session
from cbm.ui.frame.text import counted, percent, plain, points
from cbm.ui.pages.data.sets import set_title
from cbm.ui.widgets import figures, thumbnails
from cbm.ui.widgets.figures.confusion import ALL_LABELS, clicked_cell, confusion_heatmap
from cbm.ui.widgets.figures.nec import nec_chart

MANY = 16
"""From so many classes on the matrix opens on the most confused ones."""
_SHOWN_PAIRS = 7
_PICTURES = 12
_TABLE = "classify_table"
_MATRIX = "classify_matrix"
_TRUTH, _TAKEN = "truth", "taken"


def headlines(study: Study, report: ClassReport, recipe: Recipe, metrics: Mapping[str, Any]) -> list[Headline]:
    """What the model achieves, edits in force, against what it should be compared with."""
    found = []
    edited = recipe != study.model.recipe and classes.changes_predictions(recipe)
    if report.accuracy is not None:
        probe = metrics.get("linear_probe")
        delta = None if probe is None else f"linear probe {percent(probe)}"
        if report.images < study.labelled_images:
            delta = None  # Neither figure was measured on the selection.
        elif edited and study.accuracy is not None:
            delta = points(study.accuracy, report.accuracy)
        found.append(
            Headline(
                "Accuracy",
                percent(report.accuracy),
                f"On {report.images:,} labelled held-out images, your edits and your selection in force.",
                delta,
            )
        )
    found.append(
        Headline(
            "Concepts per class",
            f"{study.nec:.1f}",
            "Number of effective concepts (NEC): the mean count of weights per class that are not zero.",
        )
    )
    found.append(Headline("Classes", f"{len(study.classes):,}", "Classes that the model tells apart."))
    # Groups are measured on all images: beside the figures of a selection they would be taken for its own.
    group = classes.worst_group(study, recipe) if report.images == study.labelled_images else None
    if group is not None:
        found.append(Headline("Worst group", percent(group[1]), f"Accuracy of the group that fares worst: {group[0]}.", group[0]))
    elif report.worst is not None and report.worst.accuracy is not None:
        found.append(Headline("Worst class", percent(report.worst.accuracy), "Accuracy of the class that fares worst.", report.worst.name))
    return found


def accuracy_panel(study: Study, report: ClassReport, recipe: Recipe, metrics: Mapping[str, Any]) -> None:
    """Accuracy against NEC with every baseline that was measured."""
    edited = recipe != study.model.recipe and classes.changes_predictions(recipe)
    view = classes.nec_view(metrics, study.nec, report.accuracy, edited=edited)
    st.subheader("What readability costs", anchor=False)
    if view.empty:
        st.caption("No path over numbers of concepts was recorded for this model. Train a head below to measure it beside its baselines.")
        return
    st.caption(
        "Accuracy when each class may use only so many concepts. The ring is this model" + (", your edits in force." if edited else ".")
    )
    st.plotly_chart(nec_chart(view), key="classify_nec", config=figures.CHART_OPTIONS, alt=view.sentence)
    notes = []
    if not any(level.kind == "zero-shot" for level in view.levels):
        notes.append("Zero-shot was not measured: the backbone's text encoder was not at hand.")
    elif any(level.kind == "zero-shot" and level.accuracy < 0.5 for level in view.levels):
        notes.append("Zero-shot compares images with the class names alone.")
    if any(entry.role == "random" for entry in view.series):
        notes.append("Random directions show how much any sparse head reaches without meaningful concepts.")
    elsewhere = metrics.get("measured_elsewhere")
    if isinstance(elsewhere, Mapping):
        notes.append(
            f"Lines were measured before the export, on {plain(set_title(str(elsewhere.get('name', ''))))}; the ring on these images."
        )
    st.caption(" ".join(notes))


def class_table(report: ClassReport, *, narrowed: bool = False) -> None:
    """Every class; a click opens its page."""
    st.subheader("Class by class", anchor=False)
    # Of a selection only the classes that it has; of everything also those without an image.
    rows = [row for row in report.rows if row.images or not narrowed]
    if report.images:
        rows.sort(key=lambda row: (row.accuracy is None, row.accuracy or 0.0, -row.images))
    frame = pd.DataFrame(
        {
            "Class": [row.name for row in rows],
            "Accuracy": [None if row.accuracy is None else 100 * row.accuracy for row in rows],
            "Most often taken for": [
                "" if row.confused_with is None else f"{report.classes[row.confused_with]} ({row.confused:,})" for row in rows
            ],
            "Images": [row.images for row in rows],
        }
    )
    names = [row.name for row in rows]
    st.caption(f"{counted(len(rows), 'class', 'classes')}, the worst first. Choose one to see what makes it.")
    st.dataframe(
        frame,
        key=_TABLE,
        height=372 if len(rows) > 9 else "content",
        hide_index=True,
        on_select=lambda: _open_row(names),
        selection_mode="single-row",
        column_config={
            "Class": st.column_config.TextColumn(width=104),
            "Accuracy": st.column_config.ProgressColumn(
                format="%.1f %%", min_value=0, max_value=100, width=88, help="Share of its held-out images that are right (recall)."
            ),
            "Images": st.column_config.NumberColumn(format="%d", width=56, help="Held-out images of the class."),
            "Most often taken for": st.column_config.TextColumn(width=128, help="The class that most of its images are wrongly taken for."),
        },
    )


def _open_row(names: list[str]) -> None:
    chosen = st.session_state[_TABLE]["selection"]["rows"]
    if chosen:
        session.put("class", names[chosen[0]])


def confusion_panel(study: Study, report: ClassReport, recipe: Recipe, *, model: str, address: Mapping[str, str]) -> None:
    """Which classes are taken for which; a cell leads to its images."""
    st.subheader("What is taken for what", anchor=False)
    if not report.images:
        st.caption("None of these images has a label that the model knows, so nothing can be counted. Bring labelled images to measure it.")
        return
    pairs = report.pairs(_SHOWN_PAIRS)
    shown = _shown_classes(report)
    chosen = _chosen_cell(report, pairs)
    if len(shown) > ALL_LABELS:
        _matrix(report, shown, chosen)
        _pair_list(report, pairs, chosen, beside=True)
    else:
        left, right = st.columns([3, 2], gap="large")
        with left:
            _matrix(report, shown, chosen)
        with right:
            _pair_list(report, pairs, chosen)
    if chosen is not None:
        _cell_images(study, recipe, chosen, model, address)


def _shown_classes(report: ClassReport) -> list[int]:
    everything = list(range(len(report.classes)))
    if len(everything) < MANY:
        return everything
    options = {"Most confused": 20, "All classes": len(everything)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = st.segmented_control("Classes", list(options), default="Most confused", required=True, key="classify_shown")
        order = st.segmented_control(
            "Order", ["Similar beside each other", "As numbered"], default="Similar beside each other", required=True, key="classify_order"
        )
    kept = everything if which == "All classes" else report.most_confused(options["Most confused"]) or everything[:20]
    if order == "As numbered":
        return kept
    part = report.matrix[np.ix_(kept, kept)]
    return [kept[index] for index in classes.similar_beside(part)]


def _chosen_cell(report: ClassReport, pairs: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """The cell that the address asks for, else the most frequent confusion, else the first class's right ones."""
    number = {name: index for index, name in enumerate(report.classes)}
    asked = number.get(session.asked(_TRUTH) or ""), number.get(session.asked(_TAKEN) or "")
    if asked[0] is not None and asked[1] is not None:
        return asked[0], asked[1]
    return pairs[0][:2] if pairs else None


def _choose_cell(report: ClassReport, truth: int, predicted: int) -> None:
    session.put(_TRUTH, report.classes[truth])
    session.put(_TAKEN, report.classes[predicted])


def _matrix(report: ClassReport, shown: list[int], chosen: tuple[int, int] | None) -> None:
    place = {index: position for position, index in enumerate(shown)}
    marked = (place[chosen[0]], place[chosen[1]]) if chosen is not None and chosen[0] in place and chosen[1] in place else None
    st.plotly_chart(
        confusion_heatmap(report.matrix[np.ix_(shown, shown)], [report.classes[index] for index in shown], marked, ink=thumbnails.ink()),
        key=_MATRIX,
        config=figures.CHART_OPTIONS,
        on_select=lambda: _take_cell(report, shown),
        selection_mode="points",
        alt="Confusion matrix: " + "; ".join(f"{report.classes[t]} taken for {report.classes[p]} {n} times" for t, p, n in report.pairs(5)),
    )
    zoom = " Drag to zoom, double-click to go back." if len(shown) > ALL_LABELS else ""
    st.caption(
        f"Blue is right, orange is wrong; the stronger, the larger the share of the true class. Click a cell to see its images.{zoom}"
    )


def _take_cell(report: ClassReport, shown: list[int]) -> None:
    chosen = st.session_state[_MATRIX]["selection"]["points"]
    if chosen:
        truth, predicted = clicked_cell(report.matrix[np.ix_(shown, shown)], chosen[0]["point_index"])
        _choose_cell(report, shown[truth], shown[predicted])


def _pair_list(report: ClassReport, pairs: list[tuple[int, int, int]], chosen: tuple[int, int] | None, *, beside: bool = False) -> None:
    if not pairs:
        st.success("Every labelled held-out image is right.", icon=":material/check_circle:")
        return
    st.markdown("**Most frequent confusions**")
    with st.container(horizontal=beside, gap="xsmall", key="classify_pairs"):
        for truth, predicted, count in pairs:
            names = [plain(figures.shorten(report.classes[index], 20)) for index in (truth, predicted)]
            st.button(
                f"{names[0]} → {names[1]} · {count:,}",
                key=f"pair-{truth}-{predicted}",
                type="primary" if chosen == (truth, predicted) else "secondary",
                on_click=_choose_cell,
                args=(report, truth, predicted),
                width="content" if beside else "stretch",
                help=f"{counted(count, 'image')} of {report.classes[truth]} taken for {report.classes[predicted]}",
            )


def _cell_images(study: Study, recipe: Recipe, chosen: tuple[int, int], model: str, address: Mapping[str, str]) -> None:
    truth, predicted = (study.classes[index] for index in chosen)
    rows = selections.restrict(model, "images", classes.cell_rows(study, recipe, *chosen))
    says = f"taken for {plain(predicted)}" if truth != predicted else "and recognised as such"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{counted(len(rows), 'image')} of {plain(truth)} {says}**", width="content")
        if rows:
            selection_button(model, rows, f"{truth} → {predicted}" if truth != predicted else truth, key="classify_select")
    if not rows:
        st.caption("There is none, with your edits and your selection in force.")
        return
    pages = -(-len(rows) // _PICTURES)
    page = st.pagination(pages, key=f"cell_page-{chosen[0]}-{chosen[1]}", max_visible_pages=5) if pages > 1 else 1
    image_links(study, recipe, rows[(page - 1) * _PICTURES : page * _PICTURES], key="classify_cell", address=address)


def selection_button(model: str, rows: Sequence[int], name: str, *, key: str) -> None:
    """Makes some images the selection. The whole page runs again, since every panel follows it."""
    if st.button(
        "Select these",
        key=key,
        icon=":material/select:",
        type="tertiary",
        help="Make them the selection of images, for every panel and page of this model.",
    ):
        selections.select(model, "images", rows, name)
        st.toast(
            f"{counted(len(rows), 'image')} selected. “All images” on top of the page shows everything again.", icon=":material/select:"
        )
        st.rerun()


def image_links(study: Study, recipe: Recipe, rows: list[int], *, key: str, address: Mapping[str, str]) -> None:
    """Thumbnails that lead to the intervene page."""
    with st.grid("auto", min_column_width=92, gap="small", key=key) as grid:
        for tile in study.pictures(rows, recipe):
            with grid.cell():
                st.image(thumbnails.thumbnail(tile.uri), width="stretch", alt=tile.alt)
                st.page_link(
                    navigation.INTERVENE,
                    label="Why?",
                    icon=":material/tune:",
                    query_params={**address, "image": study.item(tile.row)},
                    help=f"{tile.alt}. See why, and correct it.",
                )


def headline_panel(study: Study, report: ClassReport, recipe: Recipe, metrics: Mapping[str, Any]) -> None:
    cards.headline_row(headlines(study, report, recipe, metrics), key="classify_headlines")
