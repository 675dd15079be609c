"""The names of the opened run: how many fit, how well, and what they look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import streamlit as st

from cbm.core.errors import CbmError
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.study.views import Headline
from cbm.ui.access import modes
from cbm.ui.frame import navigation, resources, session
from cbm.ui.frame.cards import headline_row
from cbm.ui.frame.text import percent, plain
from cbm.ui.pages.discover import address, cached, words
from cbm.ui.pages.discover.naming import naming_form
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import discovery as charts
from cbm.ui.widgets.thumbnails import strip, theme

PER_PAGE = 8
MOST = 400
"""Concepts that can be leafed through here; the concepts page has them all."""

Order = Callable[[DictionaryEvidence, np.ndarray, np.ndarray], np.ndarray]


def _masked(order: np.ndarray, keep: np.ndarray) -> np.ndarray:
    return order[keep[order]]


_SAMPLES: Mapping[str, Order] = {
    "Most telling": lambda evidence, scores, named: np.array(evidence.telling(MOST), np.int64),
    "Best names": lambda evidence, scores, named: _masked(np.argsort(-scores, kind="stable"), named & (evidence.frequency > 0)),
    "Doubtful names": lambda evidence, scores, named: _masked(np.argsort(scores, kind="stable"), named & (evidence.frequency > 0)),
    "Unnamed": lambda evidence, scores, named: _masked(np.argsort(-evidence.frequency, kind="stable"), ~named & (evidence.frequency > 0)),
}


def names_panel(root: str, run: DictionaryRun) -> None:
    """The tables of names, the opened one's figures and a sample of it, and the form for another."""
    tables = cached.tables(root, run)
    table = address.chosen_table(tables)
    st.subheader("Names", anchor=False)
    if table is None:
        st.markdown(
            "These concepts have no names yet: so far each is a direction, known by its pictures. "
            "Naming finds the words of a list that fit each concept best, and says where none does."
        )
        with st.container(border=True):
            naming_form(root, run)
        _samples(root, run, None)
        return
    if len(tables) > 1:
        _choose(run, tables, table)
    _figures(root, table)
    _samples(root, run, table)
    _lead_on(root, run, table)
    with st.expander("Name them again, from another list or by another rule", icon=":material/label:", key="name_again"):
        naming_form(root, run)


def _choose(run: DictionaryRun, tables: tuple[NamedTable, ...], table: NamedTable) -> None:
    by_id = {entry.id: entry for entry in tables}
    key = f"name_table-{run.id}"
    st.session_state[key] = table.id
    st.selectbox(
        "Named from",
        list(by_id),
        format_func=lambda identifier: _title(by_id[identifier]),
        key=key,
        on_change=lambda: session.put("concepts", session.short(st.session_state[key])),
    )


def _title(table: NamedTable) -> str:
    rule = next((choice.label for name, choice in words.RULES.items() if name == table.rule), table.rule)
    parts = [table.vocabulary, rule.lower() if rule else "", "each name once" if table.unique else ""]
    return ", ".join(filter(None, parts)) + ("" if table.named is None else f": {table.named:,} named")


def _figures(root: str, table: NamedTable) -> None:
    scores, named = cached.name_scores(root, table.id)
    count = int(named.sum()) if table.named is None else table.named
    size = len(named)
    found = [
        Headline(
            "Named",
            f"{count:,}",
            "Concepts whose best name fits better than names fit directions that mean nothing.",
            f"{percent(count / max(1, size))} of {size:,}",
        ),
        Headline("Unnamed", f"{size - count:,}", "No name of the list fits them better than chance.", "shown by their pictures"),
    ]
    if table.different is not None:
        shared = count - table.different
        found.append(Headline("Different names", f"{table.different:,}", "Several concepts may bear one name.", f"{shared:,} share a name"))
    if table.mean_score is not None:
        limit = None if table.threshold is None else f"by chance {words.figure(table.threshold)}"
        found.append(Headline("Mean score", words.figure(table.mean_score), "Of the names given, in the unit of the rule.", limit))
    headline_row(found, key="names_figures")
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="center")
    left.plotly_chart(
        charts.score_histogram(scores, named, table.threshold),
        key=f"names_scores-{table.id}",
        config=figures.CHART_OPTIONS,
        alt=f"Scores of the best names; {count:,} of {size:,} lie above chance",
    )
    right.markdown(f"**{plain(_title(table))}**")
    right.caption(
        "A concept stays unnamed where its best name fits no better than names fit random directions: the dashed line. "
        "To find more names, take a longer list; to trust them more, look at the doubtful ones below."
    )


@st.fragment
def _samples(root: str, run: DictionaryRun, table: NamedTable | None) -> None:
    try:
        evidence = cached.evidence(root, run)
    except CbmError as error:
        st.caption(f":material/image_not_supported: {plain(str(error))}")
        return
    if table is None:
        scores, named = np.zeros(evidence.concepts), np.zeros(evidence.concepts, bool)
        shown = "Most telling"
    else:
        scores, named = cached.name_scores(root, table.id)
        options = [name for name in _SAMPLES if name != "Unnamed" or not named.all()]
        shown = str(st.segmented_control("Sample", options, default=options[0], required=True, key="names_sample", persist_state="session"))
    concepts = _SAMPLES[shown](evidence, scores, named)[:MOST]
    if not len(concepts):
        st.caption("None of them fires on these images.")
        return
    pages = -(-len(concepts) // PER_PAGE)
    page = st.pagination(pages, key=f"names_page-{run.id}-{shown}", max_visible_pages=5) if pages > 1 else 1
    names = None if table is None else cached.names(root, table.id)
    query = None if table is None else _model_query(root, table)
    with st.grid(4, min_column_width=145, gap="small", border=True, key="names_concepts") as grid:
        for concept in concepts[(page - 1) * PER_PAGE : page * PER_PAGE].tolist():
            with grid.cell():
                name = f"concept {concept}" if names is None else names[concept]
                pictures = evidence.strongest(concept)
                if pictures:
                    st.image(strip(pictures, theme()), width="stretch", alt=f"Images on which “{name}” is strongest")
                label = f"**{plain(name)}**" if named[concept] else f":gray[*{plain(name)}*]"
                if query is None:
                    st.markdown(label)
                else:
                    st.page_link(navigation.CONCEPT, label=label, query_params={**query, "concept": str(concept)}, help="Open its own page")
                score = f" · score {words.figure(scores[concept])}" if named[concept] else ""
                st.caption(f"on {percent(float(evidence.frequency[concept]))} of images{score}")


def _lead_on(root: str, run: DictionaryRun, table: NamedTable) -> None:
    """What comes next: the model that these names belong to, or training one."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        query = _model_query(root, table)
        if query is not None:
            st.page_link(navigation.CONCEPTS, label=f"Browse all {run.width:,} concepts", icon=":material/interests:", query_params=query)
        if modes.may_write():
            st.page_link(
                navigation.CLASSIFY,
                label="Train a classifier on these concepts" if query is None else "Classify with these concepts",
                icon=":material/category:",
                query_params={"concepts": session.short(table.id)},
            )


def _model_query(root: str, table: NamedTable) -> dict[str, str] | None:
    """Query parameters of the newest model made from these names; None where there is none."""
    catalogue = resources.catalogue(root)
    model = next((model for model in table.models if model in catalogue.models), None)
    return None if model is None else session.link(model, catalogue.default)
