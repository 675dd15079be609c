"""Which run, which table of names and which view the address asks for."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.ui.frame import session

VIEW = "discover_view"
RUNS, NEW, SWEEP = "Runs", "New run", "Sweep"
_WANTED = "discover_wanted_view"
_RUN, _TABLE = "dictionary", "concepts"


def chosen_view(any_runs: bool) -> str:
    """The view, as a choice above the page that the address keeps; what exists comes first."""
    wanted = st.session_state.pop(_WANTED, None)
    if wanted is not None:
        st.session_state[VIEW] = wanted
    view = st.segmented_control(
        "View",
        [RUNS, NEW, SWEEP] if any_runs else [NEW, SWEEP],
        # Streamlit warns where a widget has both a default and a value that was set for it.
        default=None if wanted else RUNS if any_runs else NEW,
        required=True,
        key=VIEW,
        label_visibility="collapsed",
        bind="query-params",
    )
    return str(view)


def chosen_run(runs: Sequence[DictionaryRun]) -> DictionaryRun:
    """The run that the address asks for, or the newest.

    Raises:
        NotFoundError: the address asks for one that is not here.
    """
    asked = session.asked(_RUN)
    if asked is None:
        return runs[0]
    fitting = [run for run in runs if asked and (run.id.startswith(asked) or run.id.partition("-")[2].startswith(asked))]
    if len(fitting) != 1:
        raise NotFoundError(f"The address asks for dictionary {asked!r}, which is not in this workspace. Choose one of those below.")
    return fitting[0]


def chosen_table(tables: Sequence[NamedTable]) -> NamedTable | None:
    """The table of names that the address asks for, or the newest; None where there is none."""
    asked = session.asked(_TABLE)
    fitting = [table for table in tables if asked and (table.id.startswith(asked) or table.id.partition("-")[2].startswith(asked))]
    return fitting[0] if fitting else tables[0] if tables else None


def open_run(dictionary: str) -> None:
    """Let the page show this run from the next run of the script on; a callback."""
    session.put(_RUN, session.short(dictionary))
    session.put(_TABLE, None)
    show_view(RUNS)


def open_table(dictionary: str, concepts: str) -> None:
    """As `open_run`, with these names."""
    open_run(dictionary)
    session.put(_TABLE, session.short(concepts))


def show_view(view: str) -> None:
    """Let the page show this view from the next run of the script on; a callback."""
    st.session_state[_WANTED] = view
