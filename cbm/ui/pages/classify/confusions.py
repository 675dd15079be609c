"""The confusion matrix, its most frequent pairs, and the images of a cell."""

from __future__ import annotations

import numpy as np
import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study.confusions import Confusions, similar_beside
from cbm.study.study import Study
from cbm.ui.frame import selections
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.layout import pager
from cbm.ui.frame.slots import chosen_points
from cbm.ui.frame.state import ClassifyPage
from cbm.ui.widgets import figures, thumbnails
from cbm.ui.widgets.figures.models import ALL_LABELS, clicked_cell, confusion_heatmap
from cbm.ui.widgets.galleries import correction_links, selection_button

_MANY = 16
"""From so many classes on the matrix opens on the most confused ones."""
_SHOWN_PAIRS = 7
_PICTURES = 12
_MATRIX = ClassifyPage.key("matrix")


def confusions_panel(study: Study, report: Confusions, recipe: Recipe, *, model: str) -> None:
    """Which classes are confused; a cell leads to its images."""
    st.subheader("Confusions", anchor=False)
    if not report.images:
        st.caption(
            "None of these images has a label that the model knows, so there is nothing to count. Import labelled images to measure it."
        )
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
        _cell_images(study, recipe, chosen, model)


def _shown_classes(report: Confusions) -> list[int]:
    everything = list(range(len(report.classes)))
    if len(everything) < _MANY:
        return everything
    options = {"Most confused": 20, "All classes": len(everything)}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = st.segmented_control("Classes", list(options), default="Most confused", required=True, key=ClassifyPage.key("shown"))
        order = st.segmented_control(
            "Order",
            ["Similar classes together", "As numbered"],
            default="Similar classes together",
            required=True,
            key=ClassifyPage.key("order"),
        )
    kept = everything if which == "All classes" else report.most_confused(options["Most confused"]) or everything[:20]
    if order == "As numbered":
        return kept
    part = report.matrix[np.ix_(kept, kept)]
    return [kept[index] for index in similar_beside(part)]


def _chosen_cell(report: Confusions, pairs: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """The cell that the link asks for, else the most frequent confusion, else the first class's right ones."""
    number = {name: index for index, name in enumerate(report.classes)}
    state = ClassifyPage.read()
    truth, taken = number.get(state.truth or ""), number.get(state.taken or "")
    if truth is not None and taken is not None:
        return truth, taken
    return pairs[0][:2] if pairs else None


def _choose_cell(report: Confusions, truth: int, predicted: int) -> None:
    ClassifyPage.put(truth=report.classes[truth], taken=report.classes[predicted])


def _matrix(report: Confusions, shown: list[int], chosen: tuple[int, int] | None) -> None:
    place = {index: position for position, index in enumerate(shown)}
    marked = (place[chosen[0]], place[chosen[1]]) if chosen is not None and chosen[0] in place and chosen[1] in place else None
    st.plotly_chart(
        confusion_heatmap(report.matrix[np.ix_(shown, shown)], [report.classes[index] for index in shown], marked, ink=thumbnails.ink()),
        key=_MATRIX,
        config=figures.CHART_OPTIONS,
        on_select=lambda: _take_cell(report, shown),
        selection_mode="points",
        alt="Confusion matrix: "
        + "; ".join(f"{report.classes[t]} predicted as {report.classes[p]} {n} times" for t, p, n in report.pairs(5)),
    )
    zoom = " Drag to zoom, double-click to go back." if len(shown) > ALL_LABELS else ""
    st.caption(
        f"Blue is right, orange is wrong; the stronger the colour, the larger the share of the true class. "
        f"Click a cell to see its images.{zoom}"
    )


def _take_cell(report: Confusions, shown: list[int]) -> None:
    chosen = chosen_points(_MATRIX)
    if chosen:
        truth, predicted = clicked_cell(report.matrix[np.ix_(shown, shown)], chosen[0]["point_index"])
        _choose_cell(report, shown[truth], shown[predicted])


def _pair_list(report: Confusions, pairs: list[tuple[int, int, int]], chosen: tuple[int, int] | None, *, beside: bool = False) -> None:
    if not pairs:
        st.success("Every labelled held-out image is right.", icon=":material/check_circle:")
        return
    st.markdown("**Most frequent confusions**")
    with st.container(horizontal=beside, gap="xsmall", key=ClassifyPage.key("pairs")):
        for truth, predicted, count in pairs:
            names = [plain(figures.shorten(report.classes[index], 20)) for index in (truth, predicted)]
            st.button(
                f"{names[0]} → {names[1]} · {count:,}",
                key=ClassifyPage.key("pair", truth, predicted),
                type="primary" if chosen == (truth, predicted) else "secondary",
                on_click=_choose_cell,
                args=(report, truth, predicted),
                width="content" if beside else "stretch",
                help=f"{counted(count, 'image')} of {report.classes[truth]} predicted as {report.classes[predicted]}",
            )


def _cell_images(study: Study, recipe: Recipe, chosen: tuple[int, int], model: str) -> None:
    truth, predicted = (study.class_names[index] for index in chosen)
    rows = selections.restrict(model, "images", study.confused_rows(*chosen, recipe))
    says = f"predicted as {plain(predicted)}" if truth != predicted else "predicted correctly"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{counted(len(rows), 'image')} of {plain(truth)} {says}**", width="content")
        if rows:
            selection_button(model, rows, f"{truth} → {predicted}" if truth != predicted else truth, key=ClassifyPage.key("select"))
    if not rows:
        st.caption("None, with your edits and your selection applied.")
        return
    shown = study.pictures(rows[pager(len(rows), _PICTURES, key=ClassifyPage.key("cell_page", *chosen))], recipe)
    correction_links(study, shown, key=ClassifyPage.key("cell"), label="Why?")
