"""The job that the discover page shows: running, or ended without a result."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.jobs import Job
from cbm.ui.frame import session
from cbm.ui.pages.discover import address
from cbm.ui.widgets import job_panel
from cbm.workspace.workspace import Workspace

KINDS = ("discover", "sweep", "name", "vocabulary")
CURVES = ("fvu", "l0", "dead")
_REMEMBERED: Mapping[str, timedelta] = {"failed": timedelta(days=1), "interrupted": timedelta(days=1), "cancelled": timedelta(hours=1)}
"""How long an end without a result is shown to those who did not ask for it by its address."""


def work_panel(root: str) -> None:
    """The newest job of this page where it lives or ended without a result, or the one that the address names."""
    job = job_panel.latest(root, KINDS)
    if job is None or not _worth_showing(job):
        return
    with st.container(border=True, key="discover_work"):
        curves = CURVES[:1] if job.kind == "sweep" else CURVES
        job = job_panel.watch(job.id, key="discover_job", curves=curves, on_done=lambda done: _open_result(root, done))
        if job.live and job.kind == "sweep":
            st.caption("Each tooth of the curve is one dictionary; those that are finished stand among the runs and on the chart.")
        if job.state in ("cancelled", "interrupted") and job.kind in ("discover", "sweep"):
            st.caption(
                "A training that was stopped has no dictionary yet, only a checkpoint: it appears among the runs once it is finished. "
                + ("Dictionaries of the sweep that were finished are there. " if job.kind == "sweep" else "")
                + "Resume goes on exactly where it was."
            )


def _worth_showing(job: Job) -> bool:
    if job.live or job.resuming or session.asked(job_panel.PARAMETER) == job.id:
        return True
    return job.state in _REMEMBERED and job.finished is not None and datetime.now(UTC) - job.finished < _REMEMBERED[job.state]


def _open_result(root: str, job: Job) -> None:
    result = job.result or {}
    if job.kind == "discover":
        address.open_run(result["dictionary"])
    elif job.kind == "sweep":
        address.show_view(address.SWEEP)
    elif job.kind == "name":
        try:
            parents = Workspace(root).get(result["concepts"], "concepts").parents
        except NotFoundError:
            return
        address.open_table(parents[0], result["concepts"])
