"""The address as a whole; single parameters are `cbm.ui.frame.session`'s."""

from __future__ import annotations

import contextlib

import streamlit as st
from streamlit.errors import StreamlitAPIException


def clear() -> None:
    """Empty the address, but for what widgets are bound to: Streamlit refuses to touch that, and it speaks of the page alone."""
    for name in list(st.query_params):
        with contextlib.suppress(StreamlitAPIException):
            del st.query_params[name]
