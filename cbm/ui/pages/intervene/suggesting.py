"""Edits that the app suggests, each with its measured effect: weights that put one image right, and concepts behind a kind of mistake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from cbm.core.errors import CbmError
from cbm.editing.concept_suggestions import suggest_concept_edits
from cbm.editing.recipe import Edit, Recipe, describe
from cbm.editing.weight_suggestions import suggest_weight_edits
from cbm.study.study import Study
from cbm.ui.frame import resources, session
from cbm.ui.frame.cards import show_error
from cbm.ui.frame.text import counted, plain
from cbm.ui.pages.intervene.measuring import predictions, state_of

_IMAGE, _MISTAKES = "This image", "A kind of mistake"
_SHOWN = 6
_CONFUSIONS = 40


@dataclass(frozen=True)
class Proposal:
    """One suggestion, ready to be applied."""

    text: str
    why: str
    edits: tuple[Edit, ...]
    corrected: int
    newly_wrong: int

    @property
    def net(self) -> int:
        return self.corrected - self.newly_wrong


@dataclass(frozen=True)
class Mistake:
    """One class taken for another."""

    truth: str
    said: str
    count: int

    @property
    def words(self) -> str:
        return f"{self.truth}, taken for {self.said} ({self.count:,})"


def suggestions_panel(study: Study, row: int, recipe: Recipe, *, root: str, model: str) -> None:
    """Ask for suggestions, see what each was measured to do, apply one."""
    st.subheader("Suggested edits", anchor=False, divider="gray")
    if not (study.labels >= 0).any():
        st.caption("The held-out images have no labels, so that nothing can be measured, and nothing is suggested.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        about = st.segmented_control("Put right", [_IMAGE, _MISTAKES], default=_IMAGE, required=True, key="suggest_about")
        if about == _MISTAKES:
            mistakes = confusions(study, predictions(root, model, recipe))
            if not mistakes:
                st.caption("The model makes no mistake on the held-out images.")
                return
            mistake = st.selectbox("Mistake", mistakes, format_func=lambda one: one.words, key="suggest_mistake", width=340)
            question: tuple[str, ...] = (mistake.truth, mistake.said)
        else:
            question = (study.item(row),)
        key = repr((model, question, state_of(recipe)))
        st.button("Find edits", key="suggest", icon=":material/lightbulb:", on_click=_ask, args=(key,))
    if st.session_state.get("suggest_asked") != key:
        st.caption(
            "Weights of one concept that put this image right, with what else they change."
            if about == _IMAGE
            else "Concepts that tell these mistakes from right images, each with the edit that gains most."
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
        show_error(str(error))
        return
    _draw(found, model)


def _ask(key: str) -> None:
    st.session_state["suggest_asked"] = key


def _draw(found: Sequence[Proposal], model: str) -> None:
    if not found:
        st.caption("No edit of a single concept does it. Several together may: try the sliders.")
        return
    helpful = [proposal for proposal in found if proposal.net > 0]
    if not helpful:
        st.caption(":material/balance: Each of these costs at least as many held-out images as it gains.")
    with st.grid("auto", min_column_width=250, gap="small", border=True, key="suggestions") as grid:
        for place, proposal in enumerate((helpful or list(found))[:_SHOWN]):
            with grid.cell():
                st.markdown(f"**{plain(proposal.text)}**")
                st.markdown(f":green[✓ {proposal.corrected:,} corrected] · :orange[✗ {proposal.newly_wrong:,} newly wrong]")
                st.caption(proposal.why)
                st.button(
                    "Apply", key=f"suggestion-{place}", icon=":material/check:", on_click=session.add_edit, args=(model, *proposal.edits)
                )
    st.caption("Chosen and measured on the same held-out images, on top of your edits: expect a little less on new ones.")


@st.cache_resource(max_entries=64, show_spinner="Trying the weights of every concept …")
def _image(root: str, model: str, state: str, row: int, _recipe: Recipe) -> tuple[Proposal, ...]:
    return image_proposals(resources.study(root, model), row, _recipe)


def image_proposals(study: Study, row: int, recipe: Recipe) -> tuple[Proposal, ...]:
    """Weight edits that put one image right.

    Raises:
        CbmError: the image has no label, or is right already.
    """
    model = study.model.with_recipe(recipe)
    truth = study.labels[row]
    if truth < 0:
        return ()
    found = suggest_weight_edits(model, study.scored.codes[row], int(truth), study.scored, study.labels, item=study.item(row))
    proposals = []
    for entry in found:
        name = study.name(entry.concept, recipe)
        edits = tuple(replace(edit, name=name) for edit in entry.edits)
        proposals.append(
            Proposal(
                "; ".join(describe(edit).replace(f"{edit.value:g}", f"{edit.value:.3g}") for edit in edits),
                f"Afterwards {plain(study.classes[truth])} leads by {entry.lead:.2f} on this image.",
                edits,
                len(entry.corrected),
                len(entry.newly_wrong),
            )
        )
    return tuple(proposals)


@st.cache_resource(max_entries=64, show_spinner="Trying every concept …")
def _kind(root: str, model: str, state: str, question: tuple[str, ...], _recipe: Recipe) -> tuple[Proposal, ...]:
    truth, said = question
    return mistake_proposals(resources.study(root, model), truth, said, _recipe)


def mistake_proposals(study: Study, truth: str, said: str, recipe: Recipe) -> tuple[Proposal, ...]:
    """Concept edits against one class being taken for another.

    Raises:
        CbmError: there is no such mistake.
    """
    model = study.model.with_recipe(recipe)
    found = suggest_concept_edits(model, study.scored, study.labels, true_class=truth, predicted_class=said, count=2 * _SHOWN)
    proposals = []
    for entry in found.suggestions:
        edit = replace(entry.edit, name=study.name(entry.concept, recipe))
        tells = f"it tells them from right ones with an AUC of {entry.separation:.2f}" if np.isfinite(entry.separation) else ""
        toward = "for the wrong class" if entry.push > 0 else "for the true class"
        why = f"Puts {entry.fixed} of these {counted(found.mistakes, 'mistake')} right. The concept speaks {toward} there"
        proposals.append(
            Proposal(describe(edit), f"{why}{'; ' + tells if tells else ''}.", (edit,), len(entry.corrected), len(entry.newly_wrong))
        )
    return tuple(proposals)


def confusions(study: Study, predicted: np.ndarray) -> list[Mistake]:
    """The commonest pairs of true and predicted class, by number of images."""
    wrong = np.flatnonzero((study.labels >= 0) & (predicted != study.labels))
    if not len(wrong):
        return []
    pairs, counts = np.unique(np.stack([study.labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_CONFUSIONS]
    return [Mistake(study.classes[pairs[0, place]], study.classes[pairs[1, place]], int(counts[place])) for place in order.tolist()]
