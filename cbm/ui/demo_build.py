"""Builds the demo from the browser. The work runs in a thread of the server, because any interaction ends a page's own script."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

from cbm.errors import Cancelled, CbmError
from cbm.progress import Progress
from cbm.ui import resources
from cbm.workspace import Workspace


@dataclass
class DemoBuild:
    """One run of the demo's pipeline; the thread writes, every page reads."""

    workspace: Path
    latest: Progress = field(default_factory=lambda: Progress(0, 1, "Starting"))
    error: str | None = None
    _cancel: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the work, or join it where it already runs."""
        with self._lock:
            if self.running:
                return
            self.error = None
            self.latest = Progress(0, 1, "Starting")
            self._cancel.clear()
            self._thread = threading.Thread(target=self._work, name="demo-build", daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        self._cancel.set()

    def _work(self) -> None:
        from cbm.demo import run

        try:
            run(Workspace(self.workspace), progress=self._report, cancelled=self._cancel.is_set)
        except Cancelled:
            self.error = "Stopped. What was finished is kept; the next build goes on from there."
        except (CbmError, OSError) as error:
            self.error = str(error)

    def _report(self, progress: Progress) -> None:
        self.latest = progress


@st.cache_resource(show_spinner=False)
def _build(workspace: str) -> DemoBuild:
    return DemoBuild(Path(workspace))


def panel(workspace: str) -> None:
    """The empty workspace: what the demo is, and a button that builds it."""
    build = _build(workspace)
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
        st.button(
            "Build the demo", key="build_demo", type="primary", icon=":material/play_arrow:", disabled=build.running, on_click=build.start
        )
        st.caption("It takes a few minutes on two processor cores. Nothing is downloaded, and nothing leaves this machine.")
        _watch(build, "500ms" if build.running else None)


def _watch(build: DemoBuild, every: str | None) -> None:
    @st.fragment(run_every=every)
    def progress_panel() -> None:
        if build.running:
            st.progress(build.latest.fraction, text=build.latest.message)
            st.button("Stop", key="stop_demo", icon=":material/stop:", on_click=build.cancel)
        elif every is not None:
            resources.forget_catalogue()
            st.rerun()
        elif build.error:
            st.error(build.error, icon=":material/error:")

    progress_panel()
