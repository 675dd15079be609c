"""One concept, evidence first."""

from __future__ import annotations

import streamlit as st

from cbm.ui.frame import navigation, selections
from cbm.ui.frame.text import percent, plain
from cbm.ui.pages.concept import naming, panels, related
from cbm.ui.pages.concept.panels import HEAT, Scene


def concept_page(scene: Scene) -> None:
    """Its images first, then how it fires, what it may be called, what it does to the classes, and what it is related to."""
    embedded = st.context.is_embedded
    if not embedded:
        _steps(scene)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="medium"):
        _title(scene)
        if not embedded:
            naming.edit_row(scene)
    _facts(scene)
    if not embedded:
        selections.chip(scene.model, "images", "concept_selection")
    panels.evidence_panel(scene)
    left, right = st.columns(2, gap="large")
    with left:
        related.classes_panel(scene)
    with right:
        naming.candidates_panel(scene)
    related.relations_panel(scene)
    panels.class_panel(scene)
    related.known_panel(scene)


def _steps(scene: Scene) -> None:
    """Back to the list, on to the neighbours, over to what one does with a concept."""
    kept = {HEAT: "true"} if st.session_state.get(HEAT) else {}
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.page_link(navigation.CONCEPTS, label="All concepts", icon=":material/arrow_back:", query_params=scene.address)
        for label, concept, icon in (
            ("Previous", scene.detail.before, ":material/chevron_left:"),
            ("Next", scene.detail.after, ":material/chevron_right:"),
        ):
            st.page_link(
                navigation.CONCEPT,
                label=label,
                icon=icon,
                disabled=concept is None,
                query_params={**scene.address, **kept, "concept": str(concept)},
            )
        st.page_link(
            navigation.INTERVENE,
            label="Intervene",
            icon=":material/tune:",
            query_params={**scene.address, "concept": str(scene.detail.tile.index)},
        )


def _title(scene: Scene) -> None:
    detail, tile = scene.detail, scene.detail.tile
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
    detail, tile = scene.detail, scene.detail.tile
    best = detail.known[0] if detail.known else None
    with st.grid(4 if best else 3, min_column_width=150, gap="small", key="concept_facts") as grid:
        grid.metric(
            "Fires on",
            percent(detail.fired.frequency),
            help=f"Share of the {detail.fired.images:,} held-out images on which it is active.",
            border=True,
        )
        grid.metric(
            "Name score",
            f"{tile.name_score:.2f}".replace("-", "−") if tile.named else "–",
            help="Agreement of concept and name under the naming rule. A dash: no candidate was good enough.",
            border=True,
        )
        grid.metric(
            "Strongest",
            f"{detail.fired.values[0]:.2f}" if len(detail.fired.values) else "–",
            help="Its largest activation on a held-out image, in the unit of the dictionary.",
            border=True,
        )
        if best is not None:
            grid.metric(
                "Known concept",
                best.name,
                help=f"The known concept that it agrees with best: AUC {best.auc:.2f}, where 0.5 is chance.",
                border=True,
            )
