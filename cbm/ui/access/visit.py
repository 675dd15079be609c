"""One visit: the session of a hosted visitor, the workspace that belongs to it, and its way back in the URL.

Only `cbm.ui.access.modes` asks this, and only where the app is hosted.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbm.ui.access import visitors
from cbm.ui.access.limits import LimitError, Limits, NotAllowedError

WORKSPACE = "workspace"
"""The query parameter that leads a visitor back to their workspace, and the session's name for it: whoever has it, has the workspace."""


def root(base: Path, bounds: Limits) -> Path:
    """The visitor's workspace below the curated one at `base`, made where it is missing.

    Raises:
        NotFoundError: the URL asks for a workspace that does not exist, or no longer.
        LimitError: the server has no room for another visitor.
    """
    if get_script_run_ctx() is None:
        raise NotAllowedError("A hosted workspace belongs to a visitor, but there is no visitor in this session.")
    visitors.sweep_now_and_then(base, bounds.keep_days or 0.0)
    kept = st.session_state.get(WORKSPACE)
    asked = st.query_params.get(WORKSPACE)
    if asked is not None and (asked != kept or visitors.find(base, asked) is None):
        # Edits belong to the models of the workspace that was left.
        st.session_state.clear()
        if visitors.find(base, asked) is None:
            del st.query_params[WORKSPACE]
            raise visitors.gone(bounds.keep_days)
        st.session_state[WORKSPACE] = kept = asked
    # A workspace in which nothing was kept is swept away soon; its name is not used again, for caches know it.
    if kept is None or visitors.find(base, kept) is None:
        if bounds.max_visitors is not None and visitors.count(base) >= bounds.max_visitors:
            raise LimitError("This server is full. Come back in an hour, or install CBM Studio yourself.")
        st.session_state[WORKSPACE] = kept = visitors.new_token()
    return visitors.enter(base, str(kept))


def token() -> str:
    """The name of the visitor's workspace."""
    return str(st.session_state[WORKSPACE])


def session_id() -> str:
    """What tells this visit from others; empty outside a visit."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def put_in_url(parameters: dict[str, str]) -> None:
    """Write query parameters, unless they are there already."""
    for name, value in parameters.items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def clear_url() -> None:
    """Empty the URL, but for what widgets are bound to: Streamlit refuses to touch that, and it is about the page alone."""
    for name in list(st.query_params):
        with contextlib.suppress(StreamlitAPIException):
            del st.query_params[name]


def end() -> None:
    """Forget everything about the visitor."""
    st.session_state.clear()
    clear_url()
