"""Edits with exact numbers: any concept of the image, activations and weights alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from cbm.editing.recipe import AblateConcept, Edit, ScaleConcept, ScaleWeight, Scope, SetConcept, SetWeight, ZeroWeight, describe
from cbm.ui.frame import session
from cbm.ui.frame.text import plain

CONCEPT = "edit_concept"
_ASKED = "edit_concept_asked"
_ACTIVATION, _WEIGHT = "Activation", "Weight"
_HOW = {_ACTIVATION: ("Ablate", "Scale by", "Set to"), _WEIGHT: ("Remove", "Scale by", "Set to")}


def exact_edits(
    names: Mapping[int, str],
    *,
    model: str,
    classes: Sequence[str],
    target: str,
    scope: Scope,
    weights: Mapping[int, float],
    merged: Mapping[int, tuple[int, ...]],
    asked: int | None = None,
) -> None:
    """Choose a concept and a number, and apply.

    Args:
        names: of the concepts that can be chosen.
        weights: concept -> its weight for the explained class, edits in force.
        merged: concept that stands for several -> all of them, itself the first: an edit changes them all.
        asked: the concept to begin with, once.
    """
    if not names:
        return
    with st.expander("Exact numbers and weights", icon=":material/pin:"):
        st.caption(
            "An activation is how strongly the image shows the concept. A weight is what the concept counts for a class, in every image."
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            what = st.segmented_control("Change", [_ACTIVATION, _WEIGHT], default=_ACTIVATION, required=True, key="edit_what")
            if asked in names and st.session_state.get(_ASKED) != asked:
                st.session_state[CONCEPT] = st.session_state[_ASKED] = asked
            if st.session_state.get(CONCEPT) not in names:
                st.session_state[CONCEPT] = next(iter(names))
            concept = st.selectbox("Concept", list(names), key=CONCEPT, format_func=names.__getitem__, width=220)
            how = st.selectbox("How", _HOW[what], key=f"edit_how_{what.lower()}", width=130)
            number = 0.0
            if how not in ("Ablate", "Remove"):
                start = 0.5 if how == "Scale by" else round(weights.get(concept, 0.0), 3) if what == _WEIGHT else 1.0
                number = st.number_input("Number", value=start, step=0.25, format="%.3f", key=f"edit_number_{what}_{how}", width=130)
            class_name = target
            if what == _WEIGHT:
                class_name = st.selectbox(
                    "For class", classes, index=list(classes).index(target), key=f"edit_weight_class-{target}", width=200
                )
            members = merged.get(concept, (concept,))
            edits = exact(what, how, members, names[concept], number, class_name, scope)
            st.button("Apply", key="apply_edit", type="primary", icon=":material/check:", on_click=session.add_edit, args=(model, *edits))
        several = f", in {len(edits)} edits, one for each concept merged in it" if len(edits) > 1 else ""
        st.caption(f"Will be: {plain(describe(edits[0]))}{several}.")


def exact(what: str, how: str, members: Sequence[int], name: str, number: float, class_name: str, scope: Scope) -> tuple[Edit, ...]:
    """The edits of a concept, or of all that were merged into one; a merged activation is a sum, so the first carries what it is set to."""
    first, *others = members
    if what == _ACTIVATION and how == "Set to":
        return (SetConcept(first, name, number, scope), *(AblateConcept(other, name, scope) for other in others))
    return tuple(_edit(what, how, member, name, number, class_name, scope) for member in members)


def _edit(what: str, how: str, concept: int, name: str, number: float, class_name: str, scope: Scope) -> Edit:
    if what == _WEIGHT:
        if how == "Remove":
            return ZeroWeight(concept, name, class_name)
        return ScaleWeight(concept, name, class_name, number) if how == "Scale by" else SetWeight(concept, name, class_name, number)
    if how == "Ablate":
        return AblateConcept(concept, name, scope)
    return ScaleConcept(concept, name, number, scope) if how == "Scale by" else SetConcept(concept, name, number, scope)
