"""One concept, evidence first."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from cbm.edits import HideConcept
from cbm.ui import figures, navigation, session
from cbm.ui.galleries import picture_grid
from cbm.ui.text import counted, percent, plain
from cbm.ui.views import ConceptDetail, ConceptTile


def _rename(model: str, tile: ConceptTile, key: str) -> None:
    session.rename(model, tile.index, tile.name, str(st.session_state[key] or ""))


def _header(tile: ConceptTile, *, model: str, address: Mapping[str, str]) -> None:
    st.page_link(navigation.CONCEPTS, label="All concepts", icon=":material/arrow_back:", query_params=dict(address))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(plain(tile.name), anchor=False, width="content")
        if tile.hidden:
            st.badge("hidden", icon=":material/visibility_off:", color="gray")
        elif tile.renamed_from:
            st.badge(f"renamed from “{plain(tile.renamed_from)}”", icon=":material/edit:", color="violet")
        elif not tile.named:
            st.badge("no good name", icon=":material/help:", color="gray")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"rename-{tile.index}-{tile.name}"
        st.text_input(
            "Rename",
            key=key,
            placeholder=tile.name,
            max_chars=80,
            width=240,
            on_change=_rename,
            args=(model, tile, key),
            icon=":material/edit:",
        )
        if not tile.hidden:
            st.button(
                "Hide from lists",
                key="hide",
                icon=":material/visibility_off:",
                on_click=session.add_edit,
                args=(model, HideConcept(tile.index, tile.name)),
                help="The concept still counts in predictions. Undo brings it back.",
            )
        st.page_link(navigation.INTERVENE, label="Intervene", icon=":material/tune:", query_params={**address, "concept": str(tile.index)})


def _facts(detail: ConceptDetail) -> None:
    tile = detail.tile
    with st.grid(4, min_column_width=150, gap="small", key="concept_facts") as grid:
        grid.metric(
            "Fires on", percent(tile.frequency), help=f"Share of the {detail.images:,} held-out images on which it is active.", border=True
        )
        grid.metric(
            "Name score",
            f"{tile.name_score:.2f}" if tile.named else "–",
            help="Agreement of concept and name under the naming rule.",
            border=True,
        )
        grid.metric(
            "Strongest",
            f"{max(detail.activations):.2f}" if len(detail.activations) else "–",
            help="Its largest activation on a held-out image, in the unit of the dictionary.",
            border=True,
        )
        best = detail.agreements[0] if detail.agreements else None
        if best is not None:
            grid.metric(
                "Known concept",
                best.name,
                help=f"The known concept that it agrees with best: AUC {best.auc:.2f}, where 0.5 is chance.",
                border=True,
            )


def _candidates(detail: ConceptDetail, model: str) -> None:
    st.subheader("Candidate names", anchor=False)
    if not detail.candidates:
        st.caption("This model's concepts were not named from a vocabulary.")
        return
    st.plotly_chart(
        figures.score_bars(detail.candidates, unit="score"),
        key="concept_candidates",
        config=figures.CHART_OPTIONS,
        alt="Candidate names: " + ", ".join(f"{name} {score:.2f}" for name, score in detail.candidates),
    )
    others = [name for name, _ in detail.candidates if name != detail.tile.name]
    key = f"candidate-{detail.tile.index}-{detail.tile.name}"
    st.pills("Call it instead", others, key=key, on_change=_rename, args=(model, detail.tile, key))


def _agreements(detail: ConceptDetail) -> None:
    if not detail.agreements:
        return
    st.subheader(
        "Known concepts",
        anchor=False,
        help="Area under the ROC curve: 1 tells images with and without it apart without an error, 0.5 is chance.",
    )
    st.plotly_chart(
        figures.score_bars([(agreement.name, agreement.auc) for agreement in detail.agreements], unit="AUC", start=0.5, end=1.0),
        key="concept_agreements",
        config=figures.CHART_OPTIONS,
        alt="Agreement with known concepts, AUC: " + ", ".join(f"{agreement.name} {agreement.auc:.2f}" for agreement in detail.agreements),
    )


def concept_page(detail: ConceptDetail, *, model: str, address: Mapping[str, str]) -> None:
    """The concept's images first, then how it fires, what it may be called, and what it does to the classes."""
    tile = detail.tile
    _header(tile, model=model, address=address)
    _facts(detail)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Strongest images", anchor=False)
        if detail.pictures:
            picture_grid(detail.pictures, key="concept_pictures", width=88)
        else:
            st.info("No held-out image activates this concept.", icon=":material/motion_sensor_idle:")
    with right:
        _candidates(detail, model)
        _agreements(detail)
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("How strongly it fires", anchor=False)
        st.caption(f"Active on {counted(len(detail.activations), 'image')} of {detail.images:,}; silent on the rest.")
        st.plotly_chart(
            figures.activation_histogram(detail.activations, detail.images),
            key="concept_histogram",
            config=figures.CHART_OPTIONS,
            alt=f"Histogram of the activations of “{tile.name}” on {len(detail.activations)} images",
        )
    with right:
        st.subheader("What it does to each class", anchor=False)
        if detail.class_weights:
            st.caption("Classes with a weight for this concept; it changes no other class.")
            strongest = detail.class_weights[0]
            st.plotly_chart(
                figures.class_weight_bars(detail.class_weights),
                key="concept_weights",
                config=figures.CHART_OPTIONS,
                alt=f"Class weights of “{tile.name}”; the largest is {strongest[1]:+.2f} for {strongest[0]}",
            )
        else:
            st.caption("No class uses this concept: every weight is zero.")
