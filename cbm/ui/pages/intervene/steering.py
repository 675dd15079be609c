"""One image, what the model says about it, the concepts that can be moved, and what the edits change about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st

from cbm.core.arrays import softmax
from cbm.editing.recipe import (
    AblateConcept,
    AblateConcepts,
    Edit,
    Recipe,
    ScaleConcept,
    ScaleWeight,
    Scope,
    SetConcept,
    SetWeight,
    ZeroWeight,
    describe,
)
from cbm.study.images import PictureTile
from cbm.study.steering import ScopeKind, SteeringView, scope_of, steering_edits
from cbm.ui.frame import edits, selections
from cbm.ui.frame.formats import plain
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ConceptPage, ImagePage, IntervenePage
from cbm.ui.widgets.components.steering_panel import SteeringEvent, steering_panel
from cbm.ui.widgets.explained_class import PREDICTION, explained_class, explained_class_menu
from cbm.ui.widgets.figures import signed
from cbm.ui.widgets.galleries import verdict_badges
from cbm.ui.widgets.thumbnails import thumbnail

_TARGET = Slot(IntervenePage.key("target"), PREDICTION)
_SCOPE = Slot[ScopeKind](IntervenePage.key("scope"), "everywhere")
_CONCEPT = Slot[int | None](IntervenePage.key("edit_concept"), None)
_ASKED = Slot[int | None](IntervenePage.key("edit_concept_asked"), None)
_ACTIVATION, _WEIGHT = "Activation", "Weight"
_HOW = {_ACTIVATION: ("Ablate", "Scale by", "Set to"), _WEIGHT: ("Remove", "Scale by", "Set to")}
_CLASSES = 4
_CONCEPTS = 8


def chosen_target() -> str | None:
    """The class whose score is explained; None means the class that is predicted now."""
    return explained_class(_TARGET)


def chosen_scope() -> ScopeKind:
    """Where edits apply."""
    return _SCOPE.get()


def verdict(view: SteeringView, tile: PictureTile, *, group: str | None) -> None:
    """The image, and what the model says about it now and said before the edits."""
    after, before = view.classes[int(view.logits.argmax())], view.classes[int(view.logits_before.argmax())]
    truth = None if view.truth is None else view.classes[view.truth]
    st.image(
        thumbnail(tile.uri, 320),
        width=220,
        alt=f"The chosen image, {view.item}: {truth or 'class unknown'}, predicted as {after}",
    )
    st.markdown(f"#### {plain(after)}", anchors=False)
    with st.container(horizontal=True, gap="xsmall"):
        verdict_badges(None if truth is None else after == truth, changed=after != before)
    facts = [f"before: {plain(before)}"] if after != before else []
    facts += [f"truth: {plain(truth)}"] if truth is not None else []
    facts += [f"group: {plain(group)}"] if group is not None else []
    st.caption(" · ".join(facts))
    ImagePage(view.item).link().draw("See where in the image", icon=":material/image_search:")


def controls(view: SteeringView) -> None:
    """Which score is explained, and where edits apply."""
    truth = None if view.truth is None else view.classes[view.truth]
    after, before = view.classes[int(view.logits.argmax())], view.classes[int(view.logits_before.argmax())]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = view.classes[view.target]
        explained_class_menu(_TARGET, (after, truth, before, target), view.classes, truth=truth, width=240)
        words = {"image": "This image", "class": f"Score of “{plain(target)}”", "everywhere": "Everywhere"}
        st.segmented_control(
            "Edits apply to",
            list(words),
            default="everywhere",
            required=True,
            key=_SCOPE.key,
            format_func=words.__getitem__,
            help="This image: every class, no other image. Score of one class: every image, no other class. Everywhere: all of them.",
        )


def steering(view: SteeringView, recipe: Recipe, *, model: str, asked: int | None = None) -> None:
    """The sliders, and a form for exact numbers."""

    def commit(event: SteeringEvent) -> None:
        edits.add(model, *steering_edits(view, event.changes, scope_of(event.scope, event.item, event.target)))

    def explain(class_name: str) -> None:
        _TARGET.put(class_name)

    opened = steering_panel(
        view, scope=chosen_scope(), stamp=f"{model}/{hash(recipe)}", key=IntervenePage.key("steering"), on_commit=commit, on_explain=explain
    )
    if opened is not None:
        ConceptPage(opened).link().open()
    target = view.classes[view.target]
    _selection(model, scope_of(chosen_scope(), view.item, target))
    _exact_edits(
        {row.concept: row.name for row in view.rows} | dict(view.unused),
        model=model,
        classes=view.classes,
        target=target,
        scope=scope_of(chosen_scope(), view.item, target),
        asked=asked,
        merged=recipe.decisions().groups,
        weights={row.concept: float(view.unit[place, view.target] / row.strength) for place, row in enumerate(view.rows)},
    )


def _selection(model: str, scope: Scope) -> None:
    """Ablate the concepts that were selected on another page, as one edit."""
    selection = selections.current(model, "concepts")
    if selection is None:
        return
    edit = AblateConcepts(tuple(selection.members), selection.name, scope)
    st.button(
        f"Ablate the selection “{plain(selection.name)}” ({len(selection):,})",
        key=IntervenePage.key("ablate_selection"),
        icon=":material/select_all:",
        on_click=edits.add,
        args=(model, edit),
        help=f"{describe(edit)}. One edit, and one undo.",
    )


# Exact numbers


def _exact_edits(
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
        merged: concept that represents several -> all of them, itself the first: an edit changes them all.
        asked: the concept to begin with, once.
    """
    if not names:
        return
    with st.expander("Exact numbers and weights", icon=":material/pin:"):
        st.caption(
            "An activation is how strongly the image shows the concept. "
            "A weight is how much the concept counts for a class, in every image."
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            what = st.segmented_control(
                "Change", [_ACTIVATION, _WEIGHT], default=_ACTIVATION, required=True, key=IntervenePage.key("edit_what")
            )
            _preset_concept(names, asked)
            concept = st.selectbox("Concept", list(names), key=_CONCEPT.key, format_func=names.__getitem__, width=220)
            how = st.selectbox("How", _HOW[what], key=IntervenePage.key(f"edit_how_{what.lower()}"), width=130)
            number = 0.0
            if how not in ("Ablate", "Remove"):
                start = 0.5 if how == "Scale by" else round(weights.get(concept, 0.0), 3) if what == _WEIGHT else 1.0
                number = st.number_input(
                    "Number", value=start, step=0.25, format="%.3f", key=IntervenePage.key(f"edit_number_{what}_{how}"), width=130
                )
            class_name = target
            if what == _WEIGHT:
                class_name = st.selectbox(
                    "For class", classes, index=list(classes).index(target), key=IntervenePage.key("edit_weight_class", target), width=200
                )
            members = merged.get(concept, (concept,))
            made = exact(what, how, members, names[concept], number, class_name, scope)
            st.button(
                "Apply",
                key=IntervenePage.key("apply_edit"),
                type="primary",
                icon=":material/check:",
                on_click=edits.add,
                args=(model, *made),
            )
        several = f", in {len(made)} edits, one for each concept merged in it" if len(made) > 1 else ""
        st.caption(f"Will be: {plain(describe(made[0]))}{several}.")


def _preset_concept(names: Mapping[int, str], asked: int | None) -> None:
    """Choose the concept that the link asks for, once; and one that there is, where another image is looked at."""
    if asked in names and _ASKED.get() != asked:
        _CONCEPT.put(asked)
        _ASKED.put(asked)
    if _CONCEPT.get() not in names:
        _CONCEPT.put(next(iter(names)))


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


# Before and after


def changed(view: SteeringView) -> bool:
    """Whether the edits in force change any score of the image."""
    return bool(np.any(view.logits != view.logits_before))


def difference_panel(view: SteeringView) -> None:
    """Before | after | difference, of the class scores and of what the concepts add to the explained one."""
    st.markdown("**Before, after, difference**")
    left, right = st.columns([9, 10], gap="small")
    with left:
        st.markdown(_table("Class", "Points", _class_rows(view)))
    with right:
        column = _most_changed(view)
        st.markdown(_table(f"Adds to {plain(view.classes[column])}", "Difference", _concept_rows(view, column)))


def _class_rows(view: SteeringView) -> list[tuple[str, str, str, str]]:
    before, after = softmax(np.stack([view.logits_before, view.logits]))
    order = np.argsort(-np.maximum(before, after), kind="stable")[:_CLASSES].tolist()
    order += [index for index in (view.truth, view.target) if index is not None and index not in order]
    rows = []
    for index in order:
        name = plain(view.classes[index]) + (" ✓" if index == view.truth else "")
        points = 100 * (after[index] - before[index])
        rows.append((name, f"{before[index]:.0%}", f"{after[index]:.0%}", _arrow(points, signed(points, 0))))
    return rows


def _concept_rows(view: SteeringView, column: int) -> list[tuple[str, str, str, str]]:
    entries = []
    for place, row in enumerate(view.rows):
        now = float(view.now[place][column]) if place in view.now else row.position * float(view.unit[place, column])
        entries.append((row.name, float(view.before[place, column]), now))
    entries.sort(key=lambda entry: -abs(entry[2] - entry[1]))
    shown = [entry for entry in entries if abs(entry[2] - entry[1]) >= 0.005][:_CONCEPTS]
    rows = [(plain(name), signed(before), signed(now), _arrow(now - before, signed(now - before))) for name, before, now in shown]
    before, after = float(view.logits_before[column]), float(view.logits[column])
    others = after - before - sum(now - old for _, old, now in shown)
    if abs(others) >= 0.005:
        rows.append(("*all others*", "", "", _arrow(others, signed(others))))
    return [*rows, ("**score**", f"**{signed(before)}**", f"**{signed(after)}**", _arrow(after - before, signed(after - before)))]


def _most_changed(view: SteeringView) -> int:
    """The explained class; where its score stays, the class whose score moves most."""
    moves = np.abs(view.logits - view.logits_before)
    return view.target if moves[view.target] >= 0.005 else int(moves.argmax())


def _arrow(value: float, text: str) -> str:
    if text.startswith("0"):
        return "="
    return f":blue[▲ {text}]" if value > 0 else f":orange[▼ {text}]"


def _table(first: str, last: str, rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = [f"| {first} | Before | After | {last} |", "| :-- | --: | --: | --: |"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
