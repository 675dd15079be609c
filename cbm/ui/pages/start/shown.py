"""What stands on the start page for one model, put together from what the workspace holds. Cached by ids."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.core.errors import CbmError
from cbm.study import scenarios
from cbm.ui.access import visitors
from cbm.ui.frame import resources
from cbm.ui.pages.start.pipeline import Step, finished, lineage_of, unfinished
from cbm.ui.widgets import guides
from cbm.ui.widgets.guides import Guide

KINDS = ("embeddings", "dictionary", "concepts", "model")


def steps_of(root: str, model: str, edits: int) -> list[Step]:
    """The pipeline's cards of a model."""
    known = {artifact.id: artifact for kind in KINDS for artifact in resources.artifacts(root, kind)}
    return finished(resources.study(root, model), lineage_of(model, known), edits)


def steps_without_model(root: str) -> list[Step]:
    """The pipeline's cards of a workspace that has no model yet."""
    return unfinished({kind: resources.artifacts(root, kind) for kind in KINDS})


def example(root: str, model: str) -> scenarios.Example | None:
    """The prediction that is read aloud."""
    return _example(visitors.home_of(root, model), model)


def scenarios_of(root: str, model: str) -> Sequence[Guide]:
    """Three guided scenarios, found in the model and, for the shortcut, in the demo's other task."""
    demo = resources.catalogue(root).demo
    return _scenarios(visitors.home_of(root, model), model, str(demo.get("shortcut", {}).get("model", "")))


@st.cache_resource(max_entries=64, show_spinner=False)
def _example(root: str, model: str) -> scenarios.Example | None:
    return scenarios.find_example(resources.study(root, model))


@st.cache_resource(max_entries=64, show_spinner=False)
def _scenarios(root: str, model: str, planted: str) -> Sequence[Guide]:
    study = resources.study(root, model)
    titles = resources.catalogue(root).models
    mistake, doubt = scenarios.find_mistake(study), scenarios.find_doubt(study)
    found: list[Guide] = []
    if mistake is not None:
        found.append(guides.correct_a_mistake(mistake, study.labelled_images))
    else:
        instance = _example(root, model)
        found += [] if instance is None else [guides.change_its_mind(instance)]
    shortcut = scenarios.find_shortcut(study, model, titles.get(model, model))
    # A model of one's own has a story of its own, if it can; the demo's serves where there is none.
    own = not resources.catalogue(root).demo_entry(model)
    confusion = scenarios.find_confusion(study) if shortcut is None and own else None
    if shortcut is None and confusion is None and planted in titles and planted != model:
        shortcut = _shortcut_of(root, planted, titles[planted])
    if shortcut is not None:
        found.append(guides.remove_a_shortcut(shortcut, planted=shortcut.model == planted))
    elif confusion is not None:
        found.append(guides.untangle_two_classes(confusion, study.labelled_images))
    if doubt is not None:
        found.append(guides.question_a_name(doubt))
    return tuple(found)


def _shortcut_of(root: str, model: str, title: str) -> scenarios.Shortcut | None:
    try:
        return scenarios.find_shortcut(resources.study(root, model), model, title)
    except CbmError:
        # A second model that is damaged must not take the first one's page away; choosing it says what is wrong.
        return None
