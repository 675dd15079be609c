"""How good the model is: against its baselines, class by class, confusion by confusion; and the form that trains another head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.embeddings.sets import set_title
from cbm.study import nec_paths
from cbm.study.class_view import class_view
from cbm.study.confusions import Confusions
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import layout, messages, resources, selections
from cbm.ui.frame.chosen import open_chosen
from cbm.ui.frame.formats import counted, percent, plain, points
from cbm.ui.frame.layout import Headline, page_title
from cbm.ui.frame.slots import chosen_rows
from cbm.ui.frame.state import ClassifyPage
from cbm.ui.pages.classify import training
from cbm.ui.pages.classify.confusions import confusions_panel
from cbm.ui.pages.classify.one_class import one_class
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures.models import nec_chart

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
            one_class(study, recipe, class_view(study, asked, recipe))
            return
        except NotFoundError as error:
            messages.error(str(error))
    page_title("Classify", "How good the classifier is with only a few concepts per class, and where it is right and wrong.")
    selections.chip(model, "images", key=ClassifyPage.key("images"))
    shown = study.confusions(recipe, selections.restrict(model, "images", np.arange(study.image_count)))
    layout.headline_row(_headlines(study, shown, recipe, study.metrics), key=ClassifyPage.key("headlines"))
    left, right = st.columns(2, gap="medium")
    with left:
        _accuracy_panel(study, report, recipe, study.metrics)
    with right:
        _class_table(shown, narrowed=selections.narrowed(model, "images"))
    st.fragment(confusions_panel)(study, shown, recipe, model=model)
    training.panel(study.model.method.get("concepts"), model if training.has_names(study.model.recipe) else None)


def _headlines(study: Study, report: Confusions, recipe: Recipe, metrics: Mapping[str, Any]) -> list[Headline]:
    """What the model achieves, edits in force, against what it should be compared with."""
    found = []
    edited = recipe != study.model.recipe and recipe.changes_predictions
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
                f"On {report.images:,} labelled held-out images, with your edits and your selection applied.",
                delta,
            )
        )
    found.append(
        Headline(
            "Concepts per class",
            f"{study.nec:.1f}",
            "Number of effective concepts (NEC): the mean number of non-zero weights per class.",
        )
    )
    found.append(Headline("Classes", f"{len(study.class_names):,}", "Number of classes."))
    # Groups are measured on all images: beside the figures of a selection they would read as its own.
    groups = study.groups(recipe) if report.images == study.labelled_images else None
    if groups is not None:
        worst = groups.worst
        found.append(Headline("Worst group", percent(worst.accuracy), f"Accuracy of the worst group: {worst.name}.", worst.name))
    elif report.worst is not None and report.worst.accuracy is not None:
        found.append(Headline("Worst class", percent(report.worst.accuracy), "Accuracy of the worst class.", report.worst.name))
    return found


def _accuracy_panel(study: Study, report: Confusions, recipe: Recipe, metrics: Mapping[str, Any]) -> None:
    """Accuracy against NEC with every baseline that was measured."""
    edited = recipe != study.model.recipe and recipe.changes_predictions
    view = nec_paths.nec_view(metrics, study.nec, report.accuracy, edited=edited)
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
    elsewhere = metrics.get("measured_elsewhere")
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
        ClassifyPage.put(of_class=names[rows[0]])
