"""What the concepts page draws: search and filters, cards, the table, suggested merges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from jaxtyping import Int

from cbm.names.meaning import LikelyDuplicates
from cbm.study.concept_list import FILTER_LABELS, FILTERS_EXPLAINED, Filter, Sort
from cbm.study.views import ConceptTile
from cbm.ui.frame import navigation
from cbm.ui.frame.text import counted, percent, plain
from cbm.ui.pages.concepts import state
from cbm.ui.widgets.galleries import concept_card
from cbm.ui.widgets.thumbnails import strip, theme

VIEWS = ("Cards", "Map", "Table", "Merges")
PER_PAGE = 24
PER_TABLE_PAGE = 500
GROUPS_PER_PAGE = 8


@dataclass(frozen=True, eq=False)
class Selectable:
    """What is listed, to be kept as a selection."""

    model: str
    concepts: Int[np.ndarray, " some"]
    name: str | None


def search_bar(classes: Sequence[str]) -> tuple[str, Sort, str | None, str]:
    """What was typed, the order, the class, and the view."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search by meaning, name or class",
            key=state.SEARCH,
            type="search",
            placeholder="vehicle, stripes, …",
            live="300ms",
            width=240,
            bind="query-params",
            on_change=state.first_page,
        )
        sort = st.selectbox("Sort by", list(Sort), key=state.SORT, width=145, bind="query-params", on_change=state.first_page)
        of_class = st.selectbox(
            "Used by class",
            list(classes),
            index=None,
            key=state.CLASS,
            placeholder="Any",
            width=145,
            bind="query-params",
            on_change=state.first_page,
        )
        view = st.segmented_control(
            "View",
            VIEWS,
            default="Cards",
            required=True,
            key=state.VIEW,
            bind="query-params",
            on_change=state.first_page,
        )
    return text or "", sort or Sort.PREDICTIVENESS, of_class, str(view)


def filter_pills(counts: Mapping[Filter, int], unknown: bool) -> frozenset[Filter]:
    """The filters, each with the number of concepts that it would leave."""
    still = {Filter.DUPLICATE} if unknown else set()
    chosen = st.pills(
        "Show only",
        [one for one in Filter if counts[one] or one in st.session_state[state.FILTERS] or one is not Filter.PINNED],
        selection_mode="multi",
        key=state.FILTERS,
        format_func=lambda one: f"{FILTER_LABELS[one]} {counts[one]:,}{' …' if one in still else ''}",
        on_change=state.change_filters,
        help=FILTERS_EXPLAINED,
    )
    return frozenset(chosen or ())


def result_line(text: str, pages: int, *, picking: bool | None = None, found: Selectable | None = None) -> int:
    """What is listed, and which page of it is shown.

    Args:
        picking: whether cards may be picked; None where there are none, or where all can be.
        found: offered to become a selection.
    """
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small", key="concepts_line"):
        with st.container(horizontal=True, vertical_alignment="center", width="content", gap="medium"):
            st.caption(text, width="content")
            if picking is not None:
                st.toggle("Pick several", key=state.PICKING, persist_state="session")
            if found is not None:
                st.button(
                    f"Select all {len(found.concepts):,}",
                    key="select_found",
                    icon=":material/select:",
                    type="tertiary",
                    on_click=state.select_found,
                    args=(found.model, tuple(found.concepts.tolist()), found.name),
                    help="Keep what is listed as a selection that other pages can use.",
                )
        return state.pager(pages)


def card_grid(
    tiles: Sequence[ConceptTile], *, model: str, address: Mapping[str, str], because: Callable[[int], str] | None, pinned: Sequence[int]
) -> None:
    """Cards, each with a box to tick where several are being picked, and with the reason where something was searched."""
    picking = bool(st.session_state.get(state.PICKING))
    picked = set(state.picks(model))
    with st.grid(4, min_column_width=145, gap="small", border=True, key="concepts") as grid:
        for tile in tiles:
            with grid.cell():
                concept_card(tile, address=address)
                notes = [because(tile.index)] if because else []
                notes += [":material/keep: pinned"] if tile.index in pinned else []
                if notes:
                    st.caption(" · ".join(notes))
                if picking:
                    key = f"pick-{tile.index}"
                    st.session_state[key] = tile.index in picked
                    st.checkbox("Pick", key=key, on_change=state.tick, args=(model, tile.index, key))


def picking_bar(model: str, page: Sequence[int], names: Sequence[str], pinned: Sequence[int], address: Mapping[str, str]) -> None:
    """What can be done with the picked concepts together: select, merge, hide, pin."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="concepts_bar"):
        picks = state.picks(model)
        st.button("Pick this page", key="pick_page", type="tertiary", on_click=state.set_picks, args=(model, (*picks, *page)))
        if not picks:
            st.caption("Tick some, then merge, hide, pin or select them together.", width="content")
            return
        shown = [names[concept] for concept in picks]
        st.badge(f"{len(picks)} picked")
        st.button("Make a selection", key="select_picked", icon=":material/select:", on_click=state.select_picked, args=(model,))
        with st.popover("Merge", icon=":material/merge:", disabled=len(picks) < 2, key="merge_menu"):
            st.caption(f"Show {len(picks)} concepts as one. Predictions stay as they are; undo takes it back.")
            st.text_input("Name", key="merge_name", placeholder=shown[0], max_chars=80)
            st.button("Merge into one", key="merge_picked", type="primary", on_click=state.merge_picked, args=(model, shown, "merge_name"))
        st.button("Hide", key="hide_picked", icon=":material/visibility_off:", on_click=state.hide_picked, args=(model, shown))
        if len(picks) == 1:
            st.page_link(navigation.CONCEPT, label="Open", icon=":material/visibility:", query_params={**address, "concept": str(picks[0])})
        everything = all(concept in pinned for concept in picks)
        st.button("Unpin" if everything else "Pin", key="pin_picked", icon=":material/keep:", on_click=state.pin, args=(model,))
        st.button("None", key="drop_picks", icon=":material/close:", type="tertiary", on_click=state.drop_picks, args=(model,))


def concept_table(frame: pd.DataFrame, *, model: str, largest: float, key: str) -> None:
    """One page of the table; ticked rows are picked."""
    # Streamlit sends what it is given as it is: what nobody sees here stays in the download.
    chosen = st.dataframe(
        frame.drop(columns=["named", "hidden", "stands_for"]).assign(frequency=100 * frame["frequency"]),
        key=key,
        hide_index=True,
        height=560,
        on_select="rerun",
        selection_mode="multi-row",
        alt=f"Table of {len(frame)} concepts with frequency, predictiveness, name score and class",
        column_config={
            "concept": st.column_config.NumberColumn("No.", width="small"),
            "name": st.column_config.TextColumn("Name", width="medium"),
            "frequency": st.column_config.ProgressColumn(
                "Frequency",
                format="%.2f %%",
                min_value=0.0,
                max_value=100 * float(frame["frequency"].max() or 1),
                help="Share of the images.",
            ),
            "predictiveness": st.column_config.ProgressColumn(
                "Predictiveness", format="%.4f", min_value=0.0, max_value=largest or 1.0, help="Mean |contribution|, in logits."
            ),
            "name_score": st.column_config.NumberColumn("Name score", format="%.2f"),
            "top_class": st.column_config.TextColumn("Speaks for"),
        },
    )
    state.tick_rows(model, frame["concept"].to_numpy()[chosen["selection"]["rows"]].tolist())


def suggested_merges(
    groups: Sequence[LikelyDuplicates], tiles: Callable[[int], ConceptTile], *, model: str, address: Mapping[str, str]
) -> None:
    """Groups of concepts that seem to be one, each with a button that makes them one."""
    for group in groups:
        members = [tiles(concept) for concept in group.concepts]
        with st.container(border=True, key=f"merge-{group.concepts[0]}"):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{plain(members[0].name)}** and {counted(len(members) - 1, 'other')}", width="stretch")
                st.badge(f"agreement {group.agreement:.2f}", color="gray")
                st.button(
                    f"Merge into “{plain(members[0].name)}”",
                    key=f"merge_group-{group.concepts[0]}",
                    icon=":material/merge:",
                    on_click=state.merge,
                    args=(model, group.concepts, tuple(member.name for member in members), members[0].name),
                )
            with st.grid(min(6, max(4, len(members))), min_column_width=120, gap="small", key=f"members-{group.concepts[0]}") as grid:
                for member in members[:6]:
                    with grid.cell():
                        st.image(
                            strip(member.uris[:3], theme(), rows=1), width="stretch", alt=f"Images on which “{member.name}” is strongest"
                        )
                        st.page_link(navigation.CONCEPT, label=plain(member.name), query_params={**address, "concept": str(member.index)})
                        st.caption(f"on {percent(member.frequency)} of images")
