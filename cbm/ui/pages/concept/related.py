"""What else the concept page says: classes, concepts that fire together or point the same way, and known concepts."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.study import relations
from cbm.study.concept_detail import image_link, row_tiles
from cbm.study.evidence import Known
from cbm.ui.frame import navigation
from cbm.ui.frame.text import counted, plain
from cbm.ui.pages.concept.panels import Scene
from cbm.ui.widgets import figures
from cbm.ui.widgets.galleries import picture_grid

_LISTED = 6
_PICTURES = 6


def classes_panel(scene: Scene) -> None:
    """What one unit of activation adds to each class."""
    weights = scene.detail.class_weights
    st.subheader("What it does to each class", anchor=False)
    if not weights:
        st.caption("No class uses this concept: every weight is zero.")
        return
    st.plotly_chart(
        figures.class_weight_bars(weights),
        key="concept_weights",
        config=figures.CHART_OPTIONS,
        alt=f"Class weights of “{scene.detail.tile.name}”; the largest is {weights[0][1]:+.2f} for {weights[0][0]}",
    )
    st.caption(
        "Mean of the merged concepts' weights, by how much each fires."
        if scene.detail.merged
        else "Classes with a weight for this concept; it changes no other class."
    )


def _concept_line(scene: Scene, concept: int, facts: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"):
        st.page_link(
            navigation.CONCEPT,
            label=plain(figures.shorten(scene.study.name(concept, scene.recipe), 30)),
            query_params={**scene.address, "concept": str(concept)},
            help=f"Open concept {concept}",
        )
        st.caption(facts, width="content")


def relations_panel(scene: Scene) -> None:
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
            "Points the same way", anchor=False, help="Cosine of the dictionary's directions; from 0.9 on they are as good as one."
        )
        neighbours = relations.nearest_directions(scene.study, fired, decisions, _LISTED)
        for near in neighbours:
            _concept_line(scene, near.concept, f"cosine {near.cosine:.2f}" + (" · near-duplicate" if near.duplicate else ""))
        if not neighbours:
            st.caption("This model's concepts have no directions to compare.")
        elif not neighbours[0].duplicate:
            st.caption("No near-duplicate: none has a cosine of 0.9 or more.")


def known_panel(scene: Scene) -> None:
    """How it compares with what a table of the images says; silent where there is none."""
    if not scene.detail.known:
        return
    st.subheader(
        "Known concepts",
        anchor=False,
        help="Area under the ROC curve (AUC): 1 tells images with and without it apart without an error, 0.5 is chance.",
    )
    best = scene.detail.known[0]
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.plotly_chart(
            figures.score_bars([(known.name, known.auc) for known in scene.detail.known], unit="AUC", start=0.5, end=1.0),
            key="concept_agreements",
            config=figures.CHART_OPTIONS,
            alt="Agreement with known concepts, AUC: " + ", ".join(f"{known.name} {known.auc:.2f}" for known in scene.detail.known),
        )
    with right:
        _disagreements(scene, best)


def _disagreements(scene: Scene, best: Known) -> None:
    if not len(best.missed) and not len(best.extra):
        st.success(
            f"It agrees with “{plain(best.name)}” on every held-out image, when it counts from an activation of {best.cut:.2f} on.",
            icon=":material/check_circle:",
        )
        return
    st.caption(f"Where they differ, when the concept counts from an activation of {best.cut:.2f} on: the cut that separates best.")
    for title, rows, key in (
        (f"“{plain(best.name)}”, but the concept says no", best.missed, "concept_missed"),
        (f"The concept says yes, but not “{plain(best.name)}”", best.extra, "concept_extra"),
    ):
        if not len(rows):
            continue
        st.markdown(f"**{title}** ({counted(len(rows), 'image')})")
        _pictures(scene, rows[:_PICTURES].tolist(), key)


def _pictures(scene: Scene, rows: Sequence[int], key: str) -> None:
    tiles = row_tiles(scene.study, scene.recipe, scene.detail.fired, list(rows))
    picture_grid(tiles, key=key, width=72, columns=_PICTURES, link=image_link(scene.study, scene.detail.tile.index, scene.address))
