"""One concept, evidence first: `?concept=17` says which."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Edit, HideConcept, MergeConcepts, concepts_of
from cbm.study import relations
from cbm.study.concept_view import ConceptSummary
from cbm.study.evidence import Known
from cbm.ui.frame import edits, messages, selections
from cbm.ui.frame.chosen import open_chosen
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.layout import Headline, headline_row
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import ConceptPage, ConceptsPage, IntervenePage
from cbm.ui.pages.concept import evidence
from cbm.ui.pages.concept.evidence import Scene
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import explanations
from cbm.ui.widgets.galleries import picture_grid

_LISTED = 6
_PICTURES = 6


def show() -> None:
    chosen = open_chosen("concepts")
    state = ConceptPage.read()
    if state.concept is None and not state.problems:
        ConceptsPage().link().open()
    try:
        if state.concept is None:
            raise NotFoundError(*state.problems)
        detail = chosen.study.concept(state.concept, chosen.recipe)
    except NotFoundError as error:
        messages.error(str(error))
        ConceptsPage().link().draw("All concepts", icon=":material/arrow_back:")
        return
    images = selections.current(chosen.model, "images") if selections.narrowed(chosen.model, "images") else None
    _draw(Scene(chosen, detail, None if images is None else images.members))


def _draw(scene: Scene) -> None:
    """Its images first, then how it fires, what it may be called, what it does to the classes, and what it is related to."""
    embedded = st.context.is_embedded
    if not embedded:
        _steps(scene)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="medium"):
        _title(scene)
        if not embedded:
            edit_row(scene)
    _facts(scene)
    if not embedded:
        selections.chip(scene.chosen.model, "images", "concept_selection")
    evidence.evidence_panel(scene)
    left, right = st.columns(2, gap="large")
    with left:
        _classes_panel(scene)
    with right:
        candidates_panel(scene)
    _relations_panel(scene)
    evidence.class_panel(scene)
    _known_panel(scene)


def _steps(scene: Scene) -> None:
    """Back to the list, on to the neighbours, over to what one does with a concept."""
    heat = bool(widget_value(ConceptPage.key("heat")))
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        ConceptsPage().link().draw("All concepts", icon=":material/arrow_back:")
        for label, concept, icon in (
            ("Previous", scene.detail.before, ":material/chevron_left:"),
            ("Next", scene.detail.after, ":material/chevron_right:"),
        ):
            ConceptPage(concept, heat).link().draw(label, icon=icon, disabled=concept is None)
        IntervenePage(concept=scene.detail.summary.index).link().draw("Intervene", icon=":material/tune:")


def _title(scene: Scene) -> None:
    detail, tile = scene.detail, scene.detail.summary
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        st.title(plain(tile.name), anchor=False, width="content")
        st.badge(f"concept {tile.index}", color="gray")
        if tile.hidden:
            st.badge("hidden", icon=":material/visibility_off:", color="gray")
        if detail.merged:
            st.badge(" + ".join(plain(name) for _, name in detail.names), icon=":material/merge:", color="violet")
        elif tile.renamed_from:
            st.badge(f"renamed from “{plain(tile.renamed_from)}”", icon=":material/edit:", color="violet")
        elif not tile.named:
            st.badge("no good name", icon=":material/help:", color="gray")


def _facts(scene: Scene) -> None:
    detail, tile = scene.detail, scene.detail.summary
    score = f"{tile.name_score:.2f}".replace("-", "−") if tile.named else "–"
    strongest = f"{detail.fired.values[0]:.2f}" if len(detail.fired.values) else "–"
    found = [
        Headline(
            "Fires on",
            percent(detail.fired.frequency),
            f"Share of the {detail.fired.images:,} held-out images on which it is active.",
        ),
        Headline("Name score", score, "Agreement of concept and name under the naming rule. A dash: no candidate was good enough."),
        Headline("Strongest", strongest, "Its largest activation on a held-out image, in the dictionary's units."),
    ]
    if detail.known:
        best = detail.known[0]
        found.append(Headline("Known concept", best.name, f"The known concept it matches best: AUC {best.auc:.2f}, where 0.5 is chance."))
    headline_row(found, key=ConceptPage.key("facts"))


def _classes_panel(scene: Scene) -> None:
    """What one unit of activation adds to each class."""
    weights = scene.detail.class_weights
    st.subheader("Effect on each class", anchor=False)
    if not weights:
        st.caption("No class uses this concept: every weight is zero.")
        return
    st.plotly_chart(
        explanations.class_weight_bars(weights),
        key=ConceptPage.key("weights"),
        config=figures.CHART_OPTIONS,
        alt=f"Class weights of “{scene.detail.summary.name}”; the largest is {weights[0][1]:+.2f} for {weights[0][0]}",
    )
    st.caption(
        "Mean of the merged concepts' weights, by how much each fires."
        if scene.detail.merged
        else "Classes with a weight for this concept; it changes no other class."
    )


def _concept_line(scene: Scene, concept: int, facts: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        name = plain(figures.shorten(scene.study.name(concept, scene.recipe), 30))
        ConceptPage(concept).link().draw(name, help=f"Open concept {concept}")
        st.caption(facts, width="content")


def _relations_panel(scene: Scene) -> None:
    """Two lists of links: what fires with it, and what points the same way."""
    fired, decisions = scene.detail.fired, scene.recipe.decisions()
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader(
            "Fires together with",
            anchor=False,
            help="Overlap: images on which both fire, of those on which either does. × chance: how many times as often as by chance.",
        )
        companions = relations.co_firing(scene.study, fired, decisions, _LISTED)
        for entry in companions:
            _concept_line(scene, entry.concept, f"overlap {entry.jaccard:.0%} · {entry.lift:.1f} × chance")
        if not companions:
            st.caption("No other concept shares three or more images with it.")
    with right:
        st.subheader(
            "Similar direction", anchor=False, help="Cosine of the dictionary's directions; at 0.9 or above they are practically the same."
        )
        neighbours = relations.nearest_directions(scene.study, fired, decisions, _LISTED)
        for near in neighbours:
            _concept_line(scene, near.concept, f"cosine {near.cosine:.2f}" + (" · near-duplicate" if near.duplicate else ""))
        if not neighbours:
            st.caption("This model's concepts have no directions to compare.")
        elif not neighbours[0].duplicate:
            st.caption("No near-duplicate: none has a cosine of 0.9 or more.")


def _known_panel(scene: Scene) -> None:
    """How it compares with what a table of the images says; silent where there is none."""
    if not scene.detail.known:
        return
    st.subheader(
        "Known concepts",
        anchor=False,
        help="Area under the ROC curve (AUC): 1 separates images with and without it perfectly, 0.5 is chance.",
    )
    best = scene.detail.known[0]
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.plotly_chart(
            figures.score_bars([(known.name, known.auc) for known in scene.detail.known], unit="AUC", start=0.5, end=1.0),
            key=ConceptPage.key("agreements"),
            config=figures.CHART_OPTIONS,
            alt="Agreement with known concepts, AUC: " + ", ".join(f"{known.name} {known.auc:.2f}" for known in scene.detail.known),
        )
    with right:
        _disagreements(scene, best)


def _disagreements(scene: Scene, best: Known) -> None:
    if not len(best.missed) and not len(best.extra):
        st.success(
            f"It agrees with “{plain(best.name)}” on every held-out image, at a threshold of {best.cut:.2f}.",
            icon=":material/check_circle:",
        )
        return
    st.caption(f"Where they differ, at a threshold of {best.cut:.2f}, the one that separates best.")
    for title, rows, name in (
        (f"“{plain(best.name)}”, but the concept says no", best.missed, "missed"),
        (f"The concept is on, but not “{plain(best.name)}”", best.extra, "extra"),
    ):
        if not len(rows):
            continue
        st.markdown(f"**{title}** ({counted(len(rows), 'image')})")
        _pictures(scene, rows[:_PICTURES].tolist(), name)


def _pictures(scene: Scene, rows: Sequence[int], name: str) -> None:
    tiles = scene.study.firing_pictures(scene.detail.fired, rows, scene.recipe)
    picture_grid(tiles, key=ConceptPage.key(name), width=72, columns=_PICTURES, link=scene.image_link)


# What it is called, and what it is one with: each an edit that undo takes back

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
