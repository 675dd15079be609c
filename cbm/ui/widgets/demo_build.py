"""What stands in an empty workspace: what the demo is, and a button that builds it as a job."""

from __future__ import annotations

import streamlit as st

from cbm.core.errors import CbmError
from cbm.ui.access import modes
from cbm.ui.frame import resources
from cbm.ui.frame.cards import show_error
from cbm.ui.widgets import job_panel

TITLE = "Build the demo"


def panel() -> None:
    """The offer to build the demo; the page's watch shows how it goes."""
    running = any(job.kind == "demo" and job.live for job in resources.jobs(modes.workspace_root()).list())
    with st.container(border=True):
        st.subheader("Nothing here yet: build the demo", anchor=False)
        st.markdown(
            "The demo draws a small world of scenes whose true concepts are known, and takes it through the whole line:\n"
            "1. **Embed** some thousand scenes with a small CLIP that ships with this project\n"
            "2. **Discover** concepts in the embeddings, without labels\n"
            "3. **Name** them from a vocabulary\n"
            "4. **Train** a classifier that uses only a few concepts per class\n"
            "5. **Check** names and places against the truth, and remove a planted shortcut"
        )
        if st.button(TITLE, key="build_demo", type="primary", icon=":material/play_arrow:", disabled=running):
            try:
                job_panel.submit("demo", {}, title=TITLE)
            except CbmError as error:
                show_error(str(error))
            else:
                st.rerun()
        st.caption("It takes a few minutes on two processor cores. Nothing is downloaded, and nothing leaves this machine.")


def nothing_to_show() -> None:
    """A read-only demo whose owner built nothing."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("## :material/hourglass_empty:", text_alignment="center", anchors=False)
        st.subheader("Nothing to show yet", anchor=False, text_alignment="center", width="stretch")
        st.markdown(
            "Whoever runs this demo has not built a model so far: `cbm demo` makes one in a few minutes. "
            "Visitors of a demo can look and try, but not build.",
            text_alignment="center",
        )
