"""The panels of the intervene page: one image's prediction, the controls, and the measured effect of the edits."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.edits import AblateConcept, ClassScope, Edit, GlobalScope, ImageScope, Recipe, ScaleConcept, Scope
from cbm.ui import figures, session
from cbm.ui.galleries import picture_grid
from cbm.ui.shell import edit_lines, edit_list
from cbm.ui.text import counted, percent, plain, points
from cbm.ui.thumbnails import thumbnail
from cbm.ui.views import EffectView, PredictionView

_TARGET = "explain_target"
_PREDICTION = "the prediction"
_CONCEPT = "edit_concept"
_FACTOR = "edit_factor"
_SCOPE = "edit_scope"
_CHART = "contributions"
_SHOWN_PICTURES = 8


def chosen_target() -> str | None:
    """The class whose score is explained; None stands for the class that is predicted now."""
    target = st.session_state.get(_TARGET)
    return None if target == _PREDICTION else target


def prediction_panel(view: PredictionView, *, model: str, classes: Sequence[str], asked_concept: tuple[int, str] | None) -> None:
    """The image and what the model says | why | what to change."""
    left, middle, right = st.columns([10, 18, 11], gap="medium")
    with left:
        _verdict(view)
    with middle:
        _contributions(view, classes)
    with right:
        _controls(view, model, asked_concept)


def _verdict(view: PredictionView) -> None:
    st.image(
        thumbnail(view.uri, 320),
        width="stretch",
        alt=f"The chosen image, {view.item}: {view.truth or 'class unknown'}, taken for {view.predicted_after}",
    )
    changed = view.predicted_before != view.predicted_after
    st.markdown(f"#### {plain(view.predicted_after)}", anchors=False)
    with st.container(horizontal=True, gap="xsmall"):
        if view.correct_after is not None:
            st.badge(
                "right" if view.correct_after else "wrong",
                icon=":material/check:" if view.correct_after else ":material/close:",
                color="green" if view.correct_after else "orange",
            )
        if changed:
            st.badge("changed by your edits", icon=":material/edit:", color="violet")
    facts = []
    if changed:
        facts.append(f"before: {plain(view.predicted_before)}")
    if view.truth is not None:
        facts.append(f"truth: {plain(view.truth)}")
    if view.group is not None:
        facts.append(f"group: {plain(view.group)}")
    st.caption(" · ".join(facts))
    st.plotly_chart(
        figures.probability_change(view.probabilities, truth=view.truth),
        key="probabilities",
        config=figures.CHART_OPTIONS,
        alt="Class probabilities: " + ", ".join(f"{name} {after:.0%}" for name, _, after in view.probabilities),
    )
    if changed or any(abs(before - after) > 5e-4 for _, before, after in view.probabilities):
        st.caption("The upright mark is where it stood before your edits.")


def _contributions(view: PredictionView, classes: Sequence[str]) -> None:
    st.subheader("Why", anchor=False)
    offered = list(
        dict.fromkeys(name for name in (view.predicted_after, view.truth, view.predicted_before, view.target, *classes) if name is not None)
    )
    st.selectbox(
        "Explain the score of",
        [_PREDICTION, *offered],
        key=_TARGET,
        format_func=lambda name: f"{name} (truth)" if name == view.truth else name,
    )
    st.plotly_chart(
        figures.contribution_bars(view.bars, rest=view.rest, bias=view.bias, target=view.target),
        key=_CHART,
        config=figures.CHART_OPTIONS,
        on_select=lambda: _take_selected(view),
        selection_mode="points",
        alt=f"Contributions to {view.target}: " + ", ".join(f"{bar.name} {figures.signed(bar.value)}" for bar in view.bars),
    )
    st.caption(f"They sum to the score, {figures.signed(view.logit)}. Click a bar to change that concept.")


def _take_selected(view: PredictionView) -> None:
    points_chosen = st.session_state[_CHART]["selection"]["points"]
    if points_chosen and points_chosen[0]["point_index"] < len(view.bars):
        st.session_state[_CONCEPT] = view.bars[points_chosen[0]["point_index"]].index


def _scopes(view: PredictionView) -> dict[str, Scope]:
    return {
        "In this image": ImageScope(view.item),
        f"In the score of “{plain(view.target)}”": ClassScope(view.target),
        "Everywhere": GlobalScope(),
    }


def _controls(view: PredictionView, model: str, asked_concept: tuple[int, str] | None) -> None:
    names = dict(view.active)
    if asked_concept is not None:
        names = {asked_concept[0]: asked_concept[1]} | names
    st.subheader("Change a concept", anchor=False)
    if not names:
        st.caption("No concept is active in this image.")
        return
    if st.session_state.get(_CONCEPT) not in names:
        st.session_state[_CONCEPT] = next(iter(names))
    concept = st.selectbox("Concept", list(names), key=_CONCEPT, format_func=lambda index: names[index])
    factor = st.slider(
        "Strength", 0.0, 3.0, 0.0, 0.25, key=_FACTOR, format="%.2f ×", help="0 × switches the concept off; 1 × leaves it as it is."
    )
    scopes = _scopes(view)
    scope = st.radio(
        "Where",
        list(scopes),
        index=len(scopes) - 1,
        key=_SCOPE + view.target,
        help="In this image only, in the score of one class, or in every image and class.",
    )
    ablating = factor == 0.0
    st.button(
        f"Ablate “{figures.shorten(names[concept], 18)}”" if ablating else f"Scale “{figures.shorten(names[concept], 18)}” by {factor:g}",
        key="apply_edit",
        type="primary",
        icon=":material/block:" if ablating else ":material/tune:",
        width="stretch",
        disabled=factor == 1.0,
        on_click=_apply,
        args=(model, concept, names[concept], scopes[scope]),
    )


def _apply(model: str, concept: int, name: str, scope: Scope) -> None:
    factor = float(st.session_state[_FACTOR])
    edit: Edit = AblateConcept(concept, name, scope) if factor == 0.0 else ScaleConcept(concept, name, factor, scope)
    session.add_edit(model, edit)


def effect_panel(effect: EffectView | None, recipe: Recipe, *, model: str, images: int) -> None:
    """What the edits in force do to the held-out images, and the edits themselves."""
    st.subheader("What your edits do", anchor=False, divider="gray")
    lines = edit_lines(recipe)
    if not lines:
        st.caption(f"Nothing has been changed. Apply an edit, and its effect on all {counted(images, 'held-out image')} stands here.")
        return
    left, right = st.columns([28, 11], gap="medium")
    with right:
        st.markdown("**Edits**, in order")
        edit_list(model, lines)
    with left:
        if effect is None:
            st.caption("These edits change names only; every prediction stays.")
            return
        _effect_figures(effect)
        _effect_pictures(effect)


def _effect_figures(effect: EffectView) -> None:
    with st.grid(3 if effect.worst_group_after is None else 4, min_column_width=130, gap="small", key="effect_figures") as grid:
        grid.metric(
            "Accuracy",
            percent(effect.accuracy_after),
            points(effect.accuracy_before, effect.accuracy_after),
            help=f"On {effect.images:,} held-out images; {percent(effect.accuracy_before)} before the edits.",
            border=True,
            delta_color="off" if effect.accuracy_after == effect.accuracy_before else "normal",
            delta_arrow="off" if effect.accuracy_after == effect.accuracy_before else "auto",
        )
        grid.metric(
            "Corrected", f"{effect.corrected_count:,}", help="Images that were wrong and are right now.", border=True, height="stretch"
        )
        grid.metric(
            "Newly wrong", f"{effect.newly_wrong_count:,}", help="Images that were right and are wrong now.", border=True, height="stretch"
        )
        if effect.worst_group_after is not None and effect.worst_group_before is not None:
            grid.metric(
                "Worst group",
                percent(effect.worst_group_after),
                points(effect.worst_group_before, effect.worst_group_after),
                help=f"Accuracy of the group that fares worst, now {effect.worst_group}; {percent(effect.worst_group_before)} before.",
                border=True,
                delta_color="off" if effect.worst_group_after == effect.worst_group_before else "normal",
                delta_arrow="off" if effect.worst_group_after == effect.worst_group_before else "auto",
            )


def _effect_pictures(effect: EffectView) -> None:
    for title, icon, tiles, count in (
        ("Corrected", ":material/check:", effect.corrected, effect.corrected_count),
        ("Newly wrong", ":material/close:", effect.newly_wrong, effect.newly_wrong_count),
    ):
        if not tiles:
            continue
        more = f", {len(tiles[:_SHOWN_PICTURES])} shown" if count > _SHOWN_PICTURES else ""
        st.markdown(f"{icon} **{title}** ({count:,}{more})")
        picture_grid(tiles[:_SHOWN_PICTURES], key=f"effect-{title}", width=92)
