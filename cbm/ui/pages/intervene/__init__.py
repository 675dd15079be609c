"""Choose an image, see why the model says what it says, change concepts, and see what that does everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from cbm.core.errors import CbmError, NotFoundError
from cbm.editing.recipe import AblateConcept, ClassScope, Edit, ImageScope, Recipe, SetWeight, describe
from cbm.study import scenarios
from cbm.study.confusions import count_confusions
from cbm.study.proposals import ConceptProposal, Proposal, WeightProposal, concept_proposals, weight_proposals
from cbm.study.steering import steering_view
from cbm.study.study import Study
from cbm.ui.frame import cache, edits, layout, messages, resources, selections
from cbm.ui.frame.chosen import Chosen, open_chosen
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.layout import page_title, pager
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import IntervenePage
from cbm.ui.pages.intervene import effect, steering
from cbm.ui.pages.intervene.effect import predictions
from cbm.ui.widgets import guides
from cbm.ui.widgets.galleries import picture_chooser
from cbm.ui.widgets.guides import Guide

_PER_PAGE = 6
_WRONG, _ALL = "Wrong predictions", "All"
_ANY_CLASS = "Any class"


def show() -> None:
    chosen = open_chosen("predictions")
    study, recipe = chosen.study, chosen.recipe
    page_title(
        "Intervene",
        "Pick an image the model gets wrong, see which concepts misled it, change them, and see how every other image is affected.",
    )
    asked, concept = _asked(study)
    row = _image_chooser(chosen, asked)
    view = steering_view(study, row, recipe, steering.chosen_target(), concept)
    left, right = st.columns([10, 29], gap="medium")
    with left:
        steering.verdict(view, study.picture(row, recipe), group=study.group_of(row))
    with right:
        steering.controls(view)
        steering.steering(view, recipe, model=chosen.model, asked=concept)
        if steering.changed(view):
            steering.difference_panel(view)
    st.subheader("What your edits do", anchor=False, divider="gray")
    left, right = st.columns([26, 13], gap="medium")
    with left:
        _effect(chosen)
    with right:
        effect.edits_panel(recipe, effect.marginals(chosen.root, chosen.model, recipe), model=chosen.model)
        effect.upload_panel(study, recipe, model=chosen.model)
        effect.save_panel(chosen)
    suggestions_panel(chosen, row)


def _asked(study: Study) -> tuple[int | None, int | None]:
    """The row and the concept that the link names."""
    state = IntervenePage.read()
    try:
        if state.problems:
            raise NotFoundError(state.problems[0])
        row = None if state.image is None else study.row_of(state.image)
        if state.concept is not None:
            study.check_concept(state.concept)
    except NotFoundError as error:
        messages.error(str(error))
        return None, None
    return row, state.concept


def _effect(chosen: Chosen) -> None:
    root, model, study, recipe = chosen.root, chosen.model, chosen.study, chosen.recipe
    if not recipe.position:
        st.caption(f"Nothing has been changed. Apply an edit to see its effect on all {counted(study.image_count, 'held-out image')}.")
        experiments_panel(root, model)
    elif not study.labelled_images:
        moved = int((effect.predictions(root, model, Recipe()) != effect.predictions(root, model, recipe)).sum())
        st.caption(
            f"Your edits change the prediction of {moved:,} of {counted(study.image_count, 'held-out image')}. The images have no labels "
            "that the model knows, so there is no telling which of them are right."
        )
    elif (measured := effect.measured(root, model, recipe)) is None:
        st.caption("These edits only change names; no prediction changes.")
    else:
        effect.effect_panel(measured, study, recipe)


def _image_chooser(chosen: Chosen, asked: int | None) -> int:
    """Draw the chooser, and return the row of the chosen image.

    Args:
        asked: row that the link names.
    """
    study = chosen.study
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            kind = st.segmented_control(
                "Held-out images", [_WRONG, _ALL], default=_WRONG, required=True, key=IntervenePage.key("show"), bind="query-params"
            )
            truth = st.selectbox(
                "True class", [_ANY_CLASS, *study.class_names], key=IntervenePage.key("class"), width=220, bind="query-params"
            )
            selections.chip(chosen.model, "images", IntervenePage.key("images"))
            rows = study.rows(wrong_only=kind == _WRONG, truth=None if truth == _ANY_CLASS else truth)
            rows = selections.restrict(chosen.model, "images", rows)
            # At first the page that has the asked image.
            start = rows.index(asked) if asked in rows else 0
            shown = rows[pager(len(rows), _PER_PAGE, key=IntervenePage.key("image_page", kind, truth), start=start)]
        row = asked if asked is not None else shown[0] if shown else 0
        if not shown:
            layout.nothing_found("No held-out image fits. The model gets them all right, or there are none of this class.")
            return row
        st.caption(
            f"{counted(len(rows), 'image')} of {study.image_count:,}. "
            "The button shows the current prediction; the mark shows whether it is right."
        )
        picture_chooser(
            study.pictures(shown, chosen.recipe),
            chosen=row,
            on_choose=lambda taken: IntervenePage.put(image=study.item(taken)),
            key=IntervenePage.key("choose"),
        )
    return row


# Edits that the app suggests, each with its measured effect

_IMAGE, _MISTAKES = "This image", "A kind of mistake"
_SHOWN = 6
_MOST_PAIRS = 40
_EXPERIMENTS = 3
_ASKED = Slot(IntervenePage.key("suggest_asked"), "")
"""The question to which the visitor wants suggestions; another image or another edit is another question."""


def suggestions_panel(chosen: Chosen, row: int) -> None:
    """Ask for suggestions, see what each was measured to do, apply one."""
    root, model, study, recipe = chosen.root, chosen.model, chosen.study, chosen.recipe
    st.subheader("Suggested edits", anchor=False, divider="gray")
    if not (study.labels >= 0).any():
        st.caption("The held-out images have no labels, so no edit can be measured or suggested.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        about = st.segmented_control(
            "Put right", [_IMAGE, _MISTAKES], default=_IMAGE, required=True, key=IntervenePage.key("suggest_about")
        )
        if about == _MISTAKES:
            counted_pairs = count_confusions(predictions(root, model, recipe), study.labels, study.class_names)
            mistakes = counted_pairs.named_pairs(_MOST_PAIRS)
            if not mistakes:
                st.caption("The model makes no mistake on the held-out images.")
                return
            mistake = st.selectbox("Mistake", mistakes, format_func=_mistake_words, key=IntervenePage.key("suggest_mistake"), width=340)
            question: tuple[str, ...] = mistake[:2]
        else:
            question = (study.item(row),)
        key = repr((model, question, recipe.prediction_state))
        st.button("Find edits", key=IntervenePage.key("suggest"), icon=":material/lightbulb:", on_click=_ASKED.put, args=(key,))
    if _ASKED.get() != key:
        st.caption(
            "Weights of one concept that correct this image, with what else they change."
            if about == _IMAGE
            else "Concepts that separate these mistakes from correct images, each with its best edit."
        )
        return
    try:
        # Kept under all edits in force: proposals bear the names that concepts have by now.
        found = (
            _image(root, model, repr(recipe.active), row, recipe)
            if about == _IMAGE
            else _kind(root, model, repr(recipe.active), question, recipe)
        )
    except CbmError as error:
        messages.error(str(error))
        return
    _draw(found, model)


def _draw(found: Sequence[Proposal], model: str) -> None:
    if not found:
        st.caption("No edit of a single concept is enough. Several together may be: try the sliders.")
        return
    helpful = [proposal for proposal in found if proposal.net > 0]
    if not helpful:
        st.caption(":material/balance: Each of these costs at least as many held-out images as it gains.")
    with st.grid("auto", min_column_width=250, gap="small", border=True, key=IntervenePage.key("suggestions")) as grid:
        for place, proposal in enumerate((helpful or list(found))[:_SHOWN]):
            with grid.cell():
                st.markdown(f"**{plain(_proposal_words(proposal))}**")
                st.markdown(f":green[✓ {proposal.corrected:,} corrected] · :orange[✗ {proposal.newly_wrong:,} newly wrong]")
                st.caption(_reason(proposal))
                st.button(
                    "Apply",
                    key=IntervenePage.key("suggestion", place),
                    icon=":material/check:",
                    on_click=edits.add,
                    args=(model, *proposal.edits),
                )
    st.caption("Chosen and measured on the same held-out images, on top of your edits: expect slightly less on new images.")


def _mistake_words(pair: tuple[str, str, int]) -> str:
    truth, said, count = pair
    return f"{truth}, predicted as {said} ({count:,})"


def _proposal_words(proposal: Proposal) -> str:
    words = []
    for edit in proposal.edits:
        text = describe(edit)
        # Solved weights have more digits than anybody reads.
        words.append(text.replace(f"{edit.value:g}", f"{edit.value:.3g}") if isinstance(edit, SetWeight) else text)
    return "; ".join(words)


def _reason(proposal: Proposal) -> str:
    if isinstance(proposal, WeightProposal):
        return f"Afterwards {plain(proposal.truth)} leads by {proposal.lead:.2f} on this image."
    if isinstance(proposal, ConceptProposal):
        toward = "for the wrong class" if proposal.push > 0 else "for the true class"
        tells = (
            f"; it separates them from correct ones with an AUC of {proposal.separation:.2f}" if np.isfinite(proposal.separation) else ""
        )
        return f"Corrects {proposal.fixed} of these {counted(proposal.mistakes, 'mistake')}. The concept counts {toward} there{tells}."
    return ""


@cache.remember("Trying the weights of every concept …")
def _image(root: str, model: str, state: str, row: int, _recipe: Recipe) -> tuple[WeightProposal, ...]:
    return weight_proposals(resources.study(root, model), row, _recipe)


@cache.remember("Trying every concept …")
def _kind(root: str, model: str, state: str, question: tuple[str, ...], _recipe: Recipe) -> tuple[ConceptProposal, ...]:
    truth, said = question
    return concept_proposals(resources.study(root, model), truth, said, _recipe, count=2 * _SHOWN)


# Experiments


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
        ablations = tuple(AblateConcept(concept, name) for concept, name in shortcut.concepts)
        found.append(Experiment(guides.remove_a_shortcut(shortcut, planted=False), ablations))
    confusion = scenarios.find_confusion(study)
    if confusion is not None:
        scope = ClassScope(confusion.said)
        found.append(
            Experiment(
                guides.untangle_two_classes(confusion, study.labelled_images), (AblateConcept(confusion.concept, confusion.name, scope),)
            )
        )
    carrier = scenarios.find_carrier(study)
    if carrier is not None:
        guide = guides.find_out_what_it_carries(carrier, study.labelled_images)
        found.append(Experiment(guide, (AblateConcept(carrier.concept, carrier.name),)))
    instance = scenarios.find_example(study) if len(found) < _EXPERIMENTS else None
    if instance is not None:
        edit = AblateConcept(instance.concept, instance.name, ImageScope(instance.item))
        found.append(Experiment(guides.change_its_mind(instance), (edit,)))
    return tuple(found[:_EXPERIMENTS])


def experiments_panel(root: str, model: str) -> None:
    """Hypothesis, what is done, what to expect, and a button that does it."""
    prepared = _experiments(root, model)
    if not prepared:
        return
    st.markdown("**Try one of these**, prepared from this model and measured on its held-out images:")
    with st.grid(len(prepared), min_column_width=240, gap="small", border=True, key=IntervenePage.key("experiments")) as grid:
        for experiment in prepared:
            with grid.cell():
                _card(experiment, model)


def _card(experiment: Experiment, model: str) -> None:
    guide = experiment.guide
    assert isinstance(guide.target, IntervenePage)
    with guides.card(guide):
        st.button(
            "Do it and look",
            key=IntervenePage.key("experiment", guide.key),
            icon=guide.icon,
            width="stretch",
            on_click=_do,
            args=(model, guide.target.image, experiment.edits),
        )


def _do(model: str, item: str | None, made: Sequence[Edit]) -> None:
    IntervenePage.put(image=item)
    edits.add(model, *made)


@cache.remember("Looking for mistakes worth correcting …")
def _experiments(root: str, model: str) -> tuple[Experiment, ...]:
    return experiments(resources.study(root, model), model)
