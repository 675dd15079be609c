"""What stands where there are no edits yet: three prepared experiments, found in the model itself, one click away from being done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from cbm.editing.concept_suggestions import sweep_concepts
from cbm.editing.effect import measure_recipe
from cbm.editing.recipe import AblateConcept, ClassScope, Edit, ImageScope
from cbm.study import scenarios
from cbm.study.study import Study
from cbm.ui.frame import navigation, resources, session
from cbm.ui.frame.text import counted, percent, plain
from cbm.ui.pages.start import guides
from cbm.ui.pages.start.guides import Guide
from cbm.ui.widgets.thumbnails import thumbnail

_MOST = 3


@dataclass(frozen=True)
class Experiment:
    """A scenario with the edits that carry it out."""

    guide: Guide
    edits: tuple[Edit, ...]


def experiments(study: Study, model: str) -> tuple[Experiment, ...]:
    """Up to three: a mistake to correct, two classes to untangle or a group to lift, and a reason to test."""
    found: list[Experiment] = []
    stored = study.model.recipe
    mistake = scenarios.find_mistake(study)
    if mistake is not None:
        name = study.name(mistake.concept, stored)
        found.append(Experiment(guides.correct_a_mistake(mistake, study.labelled_images), (AblateConcept(mistake.concept, name),)))
    shortcut = scenarios.find_shortcut(study, model, "")
    if shortcut is not None:
        edits = tuple(AblateConcept(concept, name) for concept, name in shortcut.concepts)
        found.append(Experiment(guides.remove_a_shortcut(shortcut, planted=False), edits))
    confusion = scenarios.find_confusion(study)
    if confusion is not None:
        scope = ClassScope(confusion.said)
        found.append(
            Experiment(
                guides.untangle_two_classes(confusion, study.labelled_images), (AblateConcept(confusion.concept, confusion.name, scope),)
            )
        )
    found += _carrier(study)
    instance = scenarios.find_example(study) if len(found) < _MOST else None
    if instance is not None:
        edit = AblateConcept(instance.concept, instance.name, ImageScope(instance.item))
        found.append(Experiment(guides.change_its_mind(instance), (edit,)))
    return tuple(found[:_MOST])


def _carrier(study: Study) -> list[Experiment]:
    """The concept whose loss costs most: what the model cannot do without."""
    if not study.labelled_images:
        return []
    stored = study.model.recipe
    sweep = sweep_concepts(study.scored, stored, study.labels)
    concept = int(sweep.newly_wrong.argmax())
    edit = AblateConcept(concept, study.name(concept, stored))
    effect = measure_recipe(study.scored, stored, stored.append(edit), study.labels)
    if not len(effect.newly_wrong):
        return []
    row = int(effect.newly_wrong[0])
    truth = study.classes[study.labels[row]]
    name = f"*{plain(edit.name)}*"
    fallen = max(effect.per_class, key=lambda part: part.before - part.after)
    return [
        Experiment(
            Guide(
                key="carrier",
                title="Find out what a concept carries",
                icon=":material/foundation:",
                uris=(study.uris[row],),
                alt=f"Image {study.item(row)}: {truth}",
                hypothesis=f"The model is right about this “{plain(truth)}”. It leans on {name} more than on any other concept.",
                action=f"Ablate {name} everywhere.",
                change=f"{len(effect.newly_wrong):,} of {counted(effect.count, 'held-out image')} become wrong, "
                f"{len(effect.corrected):,} right; “{plain(fallen.name)}” falls from {percent(fallen.before)} "
                f"to **{percent(fallen.after)}**.",
                meaning="What breaks shows what the concept is for. Undo is one click.",
                button="Do it and look",
                page=navigation.INTERVENE,
                parameters={"image": study.item(row), "concept": str(concept)},
            ),
            (edit,),
        )
    ]


def experiments_panel(root: str, model: str) -> None:
    """Hypothesis, what is done, what to expect, and a button that does it."""
    prepared = _experiments(root, model)
    if not prepared:
        return
    st.markdown("**Try one of these**, prepared from this model and measured on its held-out images:")
    with st.grid(len(prepared), min_column_width=240, gap="small", border=True, key="experiments") as grid:
        for experiment in prepared:
            with grid.cell():
                _card(experiment, model)


def _card(experiment: Experiment, model: str) -> None:
    guide = experiment.guide
    with st.container(height="stretch", vertical_alignment="distribute", gap="small"):
        with st.container(gap="small"):
            st.markdown(f"##### {guide.icon} {guide.title}", anchors=False)
            st.image(thumbnail(guide.uris[0]), width=84, alt=guide.alt)
            st.markdown(guide.hypothesis)
            st.markdown(f":primary[**Do**] {guide.action}")
            st.markdown(f":primary[**Expect**] {guide.change}")
            st.caption(guide.meaning)
        st.button(
            "Do it and look",
            key=f"experiment-{guide.key}",
            icon=guide.icon,
            width="stretch",
            on_click=_do,
            args=(model, guide.parameters["image"], experiment.edits),
        )


def _do(model: str, item: str, edits: Sequence[Edit]) -> None:
    session.put_image_in_link(item)
    session.add_edit(model, *edits)


@st.cache_resource(max_entries=32, show_spinner="Looking for mistakes worth correcting …")
def _experiments(root: str, model: str) -> tuple[Experiment, ...]:
    return experiments(resources.study(root, model), model)
