"""How good the model is: against its baselines, class by class, confusion by confusion; and one class in full."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.embeddings.sets import set_title
from cbm.study import nec_paths
from cbm.study.class_view import CONCEPTS, ClassView, class_view, concepts_with_pictures
from cbm.study.confusions import Confusions, similar_beside
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import layout, messages, resources, selections
from cbm.ui.frame.chosen import open_chosen
from cbm.ui.frame.formats import counted, percent, plain, points
from cbm.ui.frame.layout import Headline, page_title, pager
from cbm.ui.frame.slots import chosen_points, chosen_rows, widget_value
from cbm.ui.frame.state import ClassifyPage, ConceptPage
from cbm.ui.pages.classify import training
from cbm.ui.widgets import figures, thumbnails
from cbm.ui.widgets.figures.explanations import class_concept_bars, concept_streams
from cbm.ui.widgets.figures.models import ALL_LABELS, clicked_cell, confusion_heatmap, nec_chart
from cbm.ui.widgets.galleries import concept_picture, correction_links, picture_grid, selection_button

_TABLE = ClassifyPage.key("table")


def show() -> None:
    if not resources.catalogue(modes.workspace_root()).models:
        page_title("Classify", "Train a classifier that uses only a few concepts per class, and see where it is right and wrong.")
        training.first_panel()
        return
    chosen = open_chosen("classifiers")
    model, study, recipe = chosen.model, chosen.study, chosen.recipe
    report = study.confusions(recipe)
    asked = ClassifyPage.read().of_class
    if asked is not None:
        try:
            _one_class(study, recipe, class_view(study, asked, recipe))
            return
        except NotFoundError as error:
            messages.error(str(error))
    page_title("Classify", "How good the classifier is with only a few concepts per class, and where it is right and wrong.")
    selections.chip(model, "images", key=ClassifyPage.key("images"))
    shown = study.confusions(recipe, selections.restrict(model, "images", np.arange(study.image_count)))
    layout.headline_row(_headlines(study, shown, recipe), key=ClassifyPage.key("headlines"))
    left, right = st.columns(2, gap="medium")
    with left:
        _accuracy_panel(study, report, recipe)
    with right:
        _class_table(shown, narrowed=selections.narrowed(model, "images"))
    st.fragment(_confusions_panel)(study, shown, recipe, model=model)
    training.panel(study.model.method.get("concepts"), model if training.has_names(study.model.recipe) else None)


def _headlines(study: Study, report: Confusions, recipe: Recipe) -> list[Headline]:
    """What the model achieves, edits in force, against what it should be compared with."""
    found = []
    edited = recipe != study.model.recipe and recipe.changes_predictions
    if report.accuracy is not None:
        probe = study.metrics.get("linear_probe")
        delta = None if probe is None else f"linear probe {percent(probe)}"
        if report.images < study.labelled_images:
            delta = None  # Neither figure was measured on the selection.
        elif edited and study.accuracy is not None:
            delta = points(study.accuracy, report.accuracy)
        meaning = f"On {report.images:,} labelled held-out images, with your edits and your selection applied."
        found.append(Headline("Accuracy", percent(report.accuracy), meaning, delta))
    nec = "Number of effective concepts (NEC): the mean number of non-zero weights per class."
    found.append(Headline("Concepts per class", f"{study.nec:.1f}", nec))
    found.append(Headline("Classes", f"{len(study.class_names):,}", "Number of classes."))
    # Groups are measured on all images: beside the figures of a selection they would read as its own.
    groups = study.groups(recipe) if report.images == study.labelled_images else None
    if groups is not None:
        worst = groups.worst
        found.append(Headline("Worst group", percent(worst.accuracy), f"Accuracy of the worst group: {worst.name}.", worst.name))
    elif report.worst is not None and report.worst.accuracy is not None:
        found.append(Headline("Worst class", percent(report.worst.accuracy), "Accuracy of the worst class.", report.worst.name))
    return found


def _accuracy_panel(study: Study, report: Confusions, recipe: Recipe) -> None:
    """Accuracy against NEC with every baseline that was measured."""
    edited = recipe != study.model.recipe and recipe.changes_predictions
    view = nec_paths.nec_view(study.metrics, study.nec, report.accuracy, edited=edited)
    st.subheader("Accuracy against readability", anchor=False)
    if view.empty:
        st.caption("No path over numbers of concepts was recorded for this model. Train a head below to measure it against its baselines.")
        return
    st.caption(
        "Accuracy when each class may use only so many concepts. The ring is this model" + (", with your edits applied." if edited else ".")
    )
    st.plotly_chart(nec_chart(view), key=ClassifyPage.key("nec"), config=figures.CHART_OPTIONS, alt=view.sentence)
    notes = []
    if not any(level.kind == "zero-shot" for level in view.levels):
        notes.append("Zero-shot was not measured: the backbone's text encoder was not available.")
    elif any(level.kind == "zero-shot" and level.accuracy < 0.5 for level in view.levels):
        notes.append("Zero-shot compares images with the class names alone.")
    if any(entry.role == "random" for entry in view.series):
        notes.append("Random directions show how much any sparse head reaches without meaningful concepts.")
    elsewhere = study.metrics.get("measured_elsewhere")
    if isinstance(elsewhere, Mapping):
        notes.append(
            f"Lines were measured before the export, on {plain(set_title(str(elsewhere.get('name', ''))))}; the ring on these images."
        )
    st.caption(" ".join(notes))


def _class_table(report: Confusions, *, narrowed: bool = False) -> None:
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
            "Most often predicted as": [
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
            "Most often predicted as": st.column_config.TextColumn(
                width=128, help="The class that its wrong images are most often predicted as."
            ),
        },
    )


def _open_row(names: list[str]) -> None:
    rows = chosen_rows(_TABLE)
    if rows:
        _open_class(names[rows[0]])


def _open_class(name: str | None) -> None:
    """Callback: show a class, or all of them."""
    ClassifyPage.put(of_class=name)


# Confusions: the matrix, its most frequent pairs, and the images of a cell

_MANY = 16
"""From so many classes on the matrix opens on the most confused ones."""
_MOST = 20
_SHOWN_PAIRS = 7
_PICTURES = 12
_MATRIX = ClassifyPage.key("matrix")


def _confusions_panel(study: Study, report: Confusions, recipe: Recipe, *, model: str) -> None:
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
    most, similar = "Most confused", "Similar classes together"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        which = st.segmented_control("Classes", [most, "All classes"], default=most, required=True, key=ClassifyPage.key("shown"))
        order = st.segmented_control("Order", [similar, "As numbered"], default=similar, required=True, key=ClassifyPage.key("order"))
    kept = (report.most_confused(_MOST) or everything[:_MOST]) if which == most else everything
    if order != similar:
        return kept
    return [kept[index] for index in similar_beside(report.matrix[np.ix_(kept, kept)])]


def _chosen_cell(report: Confusions, pairs: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """The cell that the link asks for, else the most frequent confusion."""
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


# One class: what makes it, what it looks like, and where it goes wrong


def _one_class(study: Study, recipe: Recipe, detail: ClassView) -> None:
    """The class's figures, its concepts with their pictures, then its images."""
    row = detail.row
    st.button(
        "All classes", key=ClassifyPage.key("back"), icon=":material/arrow_back:", type="tertiary", on_click=_open_class, args=(None,)
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(plain(row.name), anchor=False, width="stretch")
        key = ClassifyPage.key("jump", row.index)
        st.selectbox(
            "Another class", study.class_names, index=row.index, key=key, on_change=lambda: _open_class(widget_value(key)), width=240
        )
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
    recall = "–" if row.accuracy is None else percent(row.accuracy)
    precision = "–" if row.precision is None else percent(row.precision)
    found = (
        Headline("Accuracy", recall, f"Share of its {row.images:,} held-out images that are right (recall)."),
        Headline("Precision", precision, "Share of the images predicted as this class that belong to it."),
        Headline("Held-out images", f"{row.images:,}", "Labelled held-out images of this class."),
        Headline("Concepts", f"{len(detail.concepts):,}", "Concepts with a weight for this class, with your edits applied."),
    )
    layout.headline_row(found, key=ClassifyPage.key("class_facts"))


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
