"""The upper half of the intervene page: one image, what the model says about it, and the concepts that can be moved."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from cbm.editing.recipe import AblateConcepts, Recipe, Scope, describe
from cbm.study.steering import ScopeKind, SteeringView, scope_of, steering_edits
from cbm.study.views import PictureTile
from cbm.ui.frame import navigation, selections, session
from cbm.ui.frame.text import plain
from cbm.ui.pages.intervene.exact import exact_edits
from cbm.ui.widgets.components.steering_panel import SteeringEvent, steering_panel
from cbm.ui.widgets.thumbnails import thumbnail

_TARGET = "explain_target"
_PREDICTION = "the prediction"
_SCOPE = "edit_scope"


def chosen_target() -> str | None:
    """The class whose score is explained; None stands for the class that is predicted now."""
    target = st.session_state.get(_TARGET)
    return None if target == _PREDICTION else target


def chosen_scope() -> ScopeKind:
    """Where edits apply."""
    scope: ScopeKind = st.session_state.get(_SCOPE) or "everywhere"
    return scope


def verdict(view: SteeringView, tile: PictureTile, *, group: str | None, address: Mapping[str, str]) -> None:
    """The image, and what the model says about it now and said before the edits."""
    after, before = view.classes[int(view.logits.argmax())], view.classes[int(view.logits_before.argmax())]
    truth = None if view.truth is None else view.classes[view.truth]
    st.image(
        thumbnail(tile.uri, 320),
        width=220,
        alt=f"The chosen image, {view.item}: {truth or 'class unknown'}, taken for {after}",
    )
    st.markdown(f"#### {plain(after)}", anchors=False)
    with st.container(horizontal=True, gap="xsmall"):
        if truth is not None:
            st.badge(
                "right" if after == truth else "wrong",
                icon=":material/check:" if after == truth else ":material/close:",
                color="green" if after == truth else "orange",
            )
        if after != before:
            st.badge("changed by your edits", icon=":material/edit:", color="violet")
    facts = [f"before: {plain(before)}"] if after != before else []
    facts += [f"truth: {plain(truth)}"] if truth is not None else []
    facts += [f"group: {plain(group)}"] if group is not None else []
    st.caption(" · ".join(facts))
    st.page_link(
        navigation.IMAGE, label="See where in the image", icon=":material/image_search:", query_params={**address, "image": view.item}
    )


def controls(view: SteeringView) -> None:
    """Which score is explained, and where edits apply."""
    truth = [] if view.truth is None else [view.classes[view.truth]]
    leading = [view.classes[int(view.logits.argmax())], *truth, view.classes[int(view.logits_before.argmax())], view.classes[view.target]]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Explain the score of",
            [_PREDICTION, *dict.fromkeys([*leading, *view.classes])],
            key=_TARGET,
            format_func=lambda name: f"{name} (truth)" if [name] == truth else name,
            width=240,
        )
        target = plain(view.classes[view.target])
        words = {"image": "This image", "class": f"Score of “{target}”", "everywhere": "Everywhere"}
        st.segmented_control(
            "Edits apply to",
            list(words),
            default="everywhere",
            required=True,
            key=_SCOPE,
            format_func=words.__getitem__,
            help="This image: every class, no other image. Score of one class: every image, no other class. Everywhere: all of them.",
        )


def steering(view: SteeringView, recipe: Recipe, *, model: str, address: Mapping[str, str], asked: int | None = None) -> None:
    """The sliders, and a form for exact numbers."""

    def commit(event: SteeringEvent) -> None:
        session.add_edit(model, *steering_edits(view, event.changes, scope_of(event.scope, event.item, event.target)))

    def explain(class_name: str) -> None:
        st.session_state[_TARGET] = class_name

    opened = steering_panel(
        view, scope=chosen_scope(), stamp=f"{model}/{hash(recipe)}", key="steering", on_commit=commit, on_explain=explain
    )
    if opened is not None:
        st.switch_page(navigation.CONCEPT, query_params={**address, "concept": str(opened)})
    target = view.classes[view.target]
    _selection(model, scope_of(chosen_scope(), view.item, target))
    exact_edits(
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
        key="ablate_selection",
        icon=":material/select_all:",
        on_click=session.add_edit,
        args=(model, edit),
        help=f"{describe(edit)}. One edit, and one undo.",
    )
