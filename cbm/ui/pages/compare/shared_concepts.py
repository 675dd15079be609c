"""Which concepts two models share, and which only one of them has."""

from __future__ import annotations

import streamlit as st

from cbm.study.concept_pairs import LEAST_COSINE, ConceptPair, LoneConcept, Matches, PairList
from cbm.ui.frame.formats import counted, percent
from cbm.ui.frame.layout import pager
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ComparePage, ConceptPage
from cbm.ui.pages.compare.sides import Side
from cbm.ui.widgets.galleries import concept_picture

_LEAST_COSINES = (0.9, 0.8, 0.7, 0.6, 0.5)
_THRESHOLD = Slot(ComparePage.key("cosine"), LEAST_COSINE)
_PAIRS = 8


def concepts_panel(left: Side, right: Side, matches: Matches, pairs: PairList) -> None:
    """Shared concepts with their pictures, those that count most differently first; then those that only one model has."""
    st.subheader("Which concepts they share", anchor=False)
    st.caption(_how(matches, pairs))
    _threshold(matches)
    kinds = {
        "pairs": f"Shared · {len(pairs.pairs):,}",
        "A": f"Only in A · {len(pairs.only_left):,}",
        "B": f"Only in B · {len(pairs.only_right):,}",
    }
    offered = [kind for kind, entries in (("pairs", pairs.pairs), ("A", pairs.only_left), ("B", pairs.only_right)) if entries]
    if not offered:
        return
    kind = offered[0]
    if len(offered) > 1:
        kind = st.segmented_control(
            "Concepts",
            offered,
            default=kind,
            required=True,
            key=ComparePage.key("concepts"),
            format_func=lambda key: kinds[key],
            label_visibility="collapsed",
        )
    entries = {"pairs": pairs.pairs, "A": pairs.only_left, "B": pairs.only_right}[kind]
    shown = entries[pager(len(entries), _PAIRS, key=ComparePage.key("concept_page", kind))]
    if kind == "pairs":
        _pair_cards([entry for entry in shown if isinstance(entry, ConceptPair)], left, right, matches)
    else:
        _lone_cards([entry for entry in shown if isinstance(entry, LoneConcept)], left if kind == "A" else right)


def _threshold(matches: Matches) -> None:
    if matches.by != "direction":
        return
    st.segmented_control(
        "Same direction from cosine",
        _LEAST_COSINES,
        default=LEAST_COSINE,
        required=True,
        key=_THRESHOLD.key,
        help="Independent dictionaries seldom agree perfectly; lower values pair more concepts, less surely.",
    )


def least_cosine() -> float:
    """What the visitor chose, from which two directions count as one."""
    return _THRESHOLD.get()


def _how(matches: Matches, pairs: PairList) -> str:
    used = f"A uses {counted(pairs.used[0], 'concept')}, B {pairs.used[1]:,}."
    if matches.by == "dictionary":
        return f"Both use the same dictionary, so every concept is shared. {used} Concepts with the largest difference in use come first."
    if matches.by == "name":
        return f"Their embeddings are not the same, so concepts are matched by name alone. {used}"
    near = ~matches.by_name
    return (
        f"First by direction: {int(near.sum()):,} are each other's nearest, {int((matches.same_name & near).sum()):,} with one name. "
        f"Then by name: {int(matches.by_name.sum()):,} more. {used} Concepts with the largest difference in use come first."
    )


def _pair_cards(shown: list[ConceptPair], left: Side, right: Side, matches: Matches) -> None:
    one = matches.by == "dictionary" and left.study.held_out.id == right.study.held_out.id
    with st.grid(4 if one else 2, min_column_width=180 if one else 290, gap="small", border=True, key=ComparePage.key("pairs")) as grid:
        for pair in shown:
            with grid.cell():
                sides = ((pair.left, pair.left_name, left), (pair.right, pair.right_name, right))
                if one:
                    _side(*sides[0])
                else:
                    for place, side in zip(st.columns(2, gap="small"), sides, strict=True):
                        with place:
                            _side(*side)
                cosine = "" if pair.cosine is None or one else f"cosine {pair.cosine:.2f}{', by name' if pair.by_name else ''} · "
                st.caption(f"{cosine}carries {percent(pair.left_share)} of all scores in A, {percent(pair.right_share)} in B")


def _side(concept: int, name: str, side: Side) -> None:
    uris = [side.study.uris[row] for row in side.study.strongest_rows(concept, 3)]
    concept_picture(uris, name, ConceptPage(concept), rows=1, model=side.model)


def _lone_cards(shown: list[LoneConcept], side: Side) -> None:
    with st.grid(4, min_column_width=145, gap="small", border=True, key=ComparePage.key("lone")) as grid:
        for entry in shown:
            with grid.cell():
                _side(entry.index, entry.name, side)
                st.caption(f"carries {percent(entry.share)} of all scores")
