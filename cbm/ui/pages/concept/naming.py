"""What a concept is called, and what it is one with: rename, merge, hide; each an edit that undo takes back."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.editing.recipe import Edit, HideConcept, MergeConcepts, concepts_of
from cbm.study import relations
from cbm.study.concept_view import ConceptSummary
from cbm.ui.frame import edits
from cbm.ui.frame.formats import plain
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import ConceptPage
from cbm.ui.pages.concept.evidence import Scene
from cbm.ui.widgets import figures

_OFFERED = 6


def _rename(model: str, tile: ConceptSummary, key: str) -> None:
    edits.rename(model, tile.index, tile.name, str(widget_value(key) or ""))


def edit_row(scene: Scene) -> None:
    """Rename, merge, hide: one line beside the title."""
    tile, model = scene.detail.summary, scene.chosen.model
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
        key = ConceptPage.key("rename", tile.index, tile.name)
        st.text_input(
            "Rename",
            key=key,
            placeholder="Rename …",
            label_visibility="collapsed",
            max_chars=80,
            width=200,
            on_change=_rename,
            args=(model, tile, key),
            icon=":material/edit:",
        )
        with st.popover("Merge", icon=":material/merge:", key=ConceptPage.key("merge_menu"), help="Merge this concept with another"):
            _merge_menu(scene)
        if scene.detail.merged:
            st.button(
                "Separate",
                key=ConceptPage.key("separate"),
                icon=":material/call_split:",
                on_click=_switch_off,
                args=(scene, MergeConcepts),
                help="Shows the merged concepts separately again",
            )
        if tile.hidden:
            st.button(
                "Show",
                key=ConceptPage.key("unhide"),
                icon=":material/visibility:",
                on_click=_switch_off,
                args=(scene, HideConcept),
                help="Shows it in lists again",
            )
        else:
            st.button(
                "Hide",
                key=ConceptPage.key("hide"),
                icon=":material/visibility_off:",
                on_click=edits.add,
                args=(model, HideConcept(tile.index, tile.name)),
                help="Leaves it out of lists. It still affects predictions. Undo brings it back.",
            )


def _switch_off(scene: Scene, kind: type[Edit]) -> None:
    """Switch off the edits of one kind that concern the concept; they stay in the list, where they can be switched on again."""
    members = set(scene.detail.fired.members)
    for index, step in enumerate(scene.recipe.steps[: scene.recipe.position]):
        if step.enabled and isinstance(step.edit, kind) and members & set(concepts_of(step.edit)):
            edits.switch(scene.chosen.model, index, False)


def _merge(model: str, tile: ConceptSummary, into: int, name: str) -> None:
    edits.add(model, MergeConcepts((into, tile.index), (name, tile.name), name))


@st.fragment
def _merge_menu(scene: Scene) -> None:
    """Look for a concept by name; near-duplicates are offered before anything is typed."""
    tile = scene.detail.summary
    st.markdown(f"Merge **{plain(tile.name)}** into …")
    wanted = st.text_input(
        "Find a concept by name or number",
        key=ConceptPage.key("merge_search", tile.index),
        live=True,
        type="search",
        placeholder="red, 17, …",
    )
    for concept, name, why in merge_choices(scene, wanted or ""):
        if st.button(
            f"{plain(name)}" + (f" :gray[{why}]" if why else ""),
            key=ConceptPage.key("merge", tile.index, concept),
            icon=":material/merge:",
            width="stretch",
        ):
            _merge(scene.chosen.model, tile, concept, name)
            st.rerun()
    st.caption("Both are then shown as one, whose activation is the sum. Predictions do not change; undo reverts it.")


def merge_choices(scene: Scene, wanted: str) -> Sequence[tuple[int, str, str]]:
    """(concept, name, reason) of what the concept may be merged into."""
    decisions = scene.recipe.decisions()
    fired = scene.detail.fired
    if not wanted.strip():
        nearest = relations.nearest_directions(scene.study, fired, decisions, _OFFERED)
        return [(entry.concept, scene.study.name(entry.concept, scene.recipe), f"cosine {entry.cosine:.2f}") for entry in nearest]
    names = list(scene.study.concept_names)
    for concept, name in decisions.names.items():
        names[concept] = name
    left_out = relations.left_out(fired, decisions)
    found = relations.merge_candidates(names, wanted, left_out, _OFFERED)
    return [(concept, names[concept], f"#{concept}") for concept in found]


def candidates_panel(scene: Scene) -> None:
    """The names that the vocabulary offered, with their scores."""
    detail, tile = scene.detail, scene.detail.summary
    st.subheader("Candidate names", anchor=False, help="Agreement of concept and name under the naming rule, best first.")
    if not detail.candidates:
        st.caption("This model's concepts were not named from a vocabulary.")
        return
    scores = [score for _, score in detail.candidates]
    # Some rules score below zero; bars then start a little below the least of them.
    start = 0.0 if min(scores) >= 0 or max(scores) > 0.3 else min(scores) - 0.15 * (max(scores) - min(scores) or 1.0)
    st.plotly_chart(
        figures.score_bars(detail.candidates, unit="score", start=start),
        key=ConceptPage.key("candidates"),
        config=figures.CHART_OPTIONS,
        alt="Candidate names: " + ", ".join(f"{name} {score:.2f}" for name, score in detail.candidates),
    )
    if st.context.is_embedded:
        return
    others = [name for name, _ in detail.candidates if name != tile.name]
    key = ConceptPage.key("candidate", tile.index, tile.name)
    st.pills("Call it instead", others, key=key, on_change=_rename, args=(scene.chosen.model, tile, key), format_func=plain)
