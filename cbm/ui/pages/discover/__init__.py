"""Find the concepts that a backbone sees in your images, compare with baselines, and give them names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.jobs import Job
from cbm.study.dictionary_runs import DictionaryRun
from cbm.ui.access import modes
from cbm.ui.frame import messages
from cbm.ui.frame.layout import empty_card, page_title
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import DataPage, DiscoverPage, fits
from cbm.ui.pages.discover import names, runs
from cbm.ui.pages.discover.new_runs import new_run, sweep_view
from cbm.ui.widgets import job_panel
from cbm.workspace import ConceptsArtifact, Workspace

KINDS = ("discover", "sweep", "name", "vocabulary")
CURVES = ("fvu", "l0", "dead")
_REMEMBERED: Mapping[str, timedelta] = {"failed": timedelta(days=1), "interrupted": timedelta(days=1), "cancelled": timedelta(hours=1)}
"""How long an end without a result is shown to those who did not ask for it by a link."""


def show() -> None:
    page_title("Discover", "Find the concepts that a backbone sees in your images, compare with baselines, and give them names.")
    modes.require_writing_mode()
    root = modes.workspace_root()
    _job(root)
    sets = runs.image_sets(root)
    if not sets:
        _no_images()
        return
    found = runs.all_runs(root)
    view = _chosen_view(bool(found))
    if view == DiscoverPage.SWEEP:
        sweep_view(root, sets, found)
    elif view == DiscoverPage.NEW or not found:
        if not found:
            st.markdown(
                "Nothing has been discovered yet. The settings below suit your images; start with them. You will see how much of the "
                "images the concepts keep, how that compares with simpler methods, and what each concept looks like."
            )
        new_run(sets, found)
    else:
        run = _chosen_run(found)
        if len(found) > 1:
            runs.gallery(root, found, run)
        runs.opened(root, run)
        names.panel(root, run)


def _chosen_view(any_runs: bool) -> str:
    """The view, as a choice above the page that the URL keeps; what exists comes first."""
    wanted = runs.WANTED_VIEW.take()
    view = Slot[str | None](DiscoverPage.key("view"), None)
    if wanted is not None:
        view.put(wanted)
    chosen = st.segmented_control(
        "View",
        [DiscoverPage.RUNS, DiscoverPage.NEW, DiscoverPage.SWEEP] if any_runs else [DiscoverPage.NEW, DiscoverPage.SWEEP],
        # Streamlit warns where a widget has both a default and a value that was set for it.
        default=None if wanted else DiscoverPage.RUNS if any_runs else DiscoverPage.NEW,
        required=True,
        key=view.key,
        label_visibility="collapsed",
        bind="query-params",
    )
    return str(chosen)


def _chosen_run(found: Sequence[DictionaryRun]) -> DictionaryRun:
    """The run that the link asks for, or the newest; one that is not here is reported."""
    asked = DiscoverPage.read().dictionary
    fitting = [run for run in found if fits(run.id, asked)]
    if asked is not None and len(fitting) != 1:
        messages.error(f"The link asks for dictionary {asked!r}, which is not in this workspace. Choose one of those below.")
    return fitting[0] if len(fitting) == 1 else found[0]


def _no_images() -> None:
    why = (
        "Concepts are found in embeddings: the numbers by which a CLIP backbone describes an image. "
        "Bring images, or vectors that exist, on the data page; labels are not needed for discovering."
    )
    with empty_card("No images to discover concepts in", why, icon=":material/travel_explore:"):
        DataPage().link().draw("Bring images", icon=":material/photo_library:")


# Work


def _job(root: str) -> None:
    """The newest job of this page where it lives or ended without a result, or the one that the link names."""
    job = job_panel.latest(root, KINDS)
    if job is None or not _worth_showing(job):
        return
    with st.container(border=True, key=DiscoverPage.key("work")):
        curves = CURVES[:1] if job.kind == "sweep" else CURVES
        job = job_panel.watch(job.id, key=DiscoverPage.key("job"), curves=curves, on_done=lambda done: _open_result(root, done))
        if job.live and job.kind == "sweep":
            st.caption("Each tooth of the curve is one dictionary; those that are finished are among the runs and on the chart.")
        if job.state in ("cancelled", "interrupted") and job.kind in ("discover", "sweep"):
            st.caption(
                "A training that was stopped has no dictionary yet, only a checkpoint: it appears among the runs once it is finished. "
                + ("Finished dictionaries of the sweep are kept. " if job.kind == "sweep" else "")
                + "Resume continues exactly where it stopped."
            )


def _worth_showing(job: Job) -> bool:
    if job.live or job.resuming or DiscoverPage.read().job == job.id:
        return True
    return job.state in _REMEMBERED and job.finished is not None and datetime.now(UTC) - job.finished < _REMEMBERED[job.state]


def _open_result(root: str, job: Job) -> None:
    result = job.result or {}
    if job.kind == "discover":
        runs.open_run(result["dictionary"])
    elif job.kind == "sweep":
        runs.WANTED_VIEW.put(DiscoverPage.SWEEP)
    elif job.kind == "name":
        try:
            concepts = Workspace(root).get(result["concepts"], ConceptsArtifact)
        except NotFoundError:
            return
        runs.open_run(concepts.dictionary, names=concepts.id)
