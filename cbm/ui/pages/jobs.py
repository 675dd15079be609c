"""All long work of a workspace: what runs or waits, what has ended, and one job in full."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

import streamlit as st

from cbm.core.errors import CbmError
from cbm.jobs import Job, Jobs
from cbm.registry import VERBS
from cbm.ui.access import modes
from cbm.ui.frame import messages, resources
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.layout import empty_card, page_title, pager
from cbm.ui.frame.links import Link
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import JOB, MODEL, DataPage, ExportPage, JobsPage, StartPage, short
from cbm.ui.widgets import job_panel
from cbm.verbs.base import AsJob

PER_PAGE = 15
LOG_EVERY = "2s"
LOG_CHARACTERS = 8000
SHOW: Mapping[str, Callable[[Job], bool]] = {
    "All": lambda job: True,
    "Done": lambda job: job.state == "done",
    "Failed": lambda job: job.state == "failed",
    "Stopped": lambda job: job.state in ("cancelled", "interrupted"),
}
_OPENED_IN_PLACE = Slot[str | None]("jobs_opened", None)
"""The job that was opened from the list, where the visitor looks for it; one that the link names is shown on top."""


def show() -> None:
    modes.require_writing_mode()
    root = modes.workspace_root()
    jobs = resources.jobs(root)
    page_title("Jobs", "All background work of this workspace: progress, log, and what to do when it fails.")
    models = resources.catalogue(root).models
    everything = jobs.list()
    if not everything:
        _nothing_yet()
        return
    asked = JobsPage.read().job
    opened = next((job for job in everything if job.id == asked), None)
    if asked is not None and opened is None:
        messages.error(f"There is no job {asked!r} in this workspace.", hint="The existing jobs are listed below.")
    in_place = opened is not None and not _lives(opened) and _OPENED_IN_PLACE.get() == opened.id
    if opened is not None and not in_place:
        _detail(jobs, opened, models)
    live = [job.id for job in everything if _lives(job) and job is not opened]
    if live:
        st.subheader("Now", anchor=False)
        _living(jobs, live, besides=asked)
    ended = [job for job in everything if not _lives(job) and (in_place or job is not opened)]
    if ended:
        st.subheader("Before" if live else "Ended", anchor=False)
        _ended(jobs, ended, models, asked if in_place else None)


def _lives(job: Job) -> bool:
    return job.live or job.resuming


def _nothing_yet() -> None:
    why = (
        "Encoding images, discovering concepts and training classifiers take minutes, so they run beside the app as jobs. "
        "You can close the page meanwhile: they go on, and appear here with their progress and their log."
    )
    with empty_card("No long work yet", why, icon=":material/pending_actions:"):
        DataPage().link().draw("Bring images", icon=":material/photo_library:")
        StartPage().link().draw("Go to start", icon=":material/flag:")


def _living(jobs: Jobs, shown: Collection[str], besides: str | None) -> None:
    """The jobs that wait or run, asked again every second while there are any.

    Args:
        shown: those that live as the page is drawn; when one of them ends or another comes, the whole page is drawn again.
        besides: a job that is shown elsewhere on the page.
    """
    root = modes.workspace_root()

    @st.fragment(run_every=job_panel.EVERY)
    def panel() -> None:
        try:
            now = [job for job in jobs.live() if job.id != besides]
        except CbmError as error:
            # A fragment runs outside of what tells errors of a page.
            messages.error(str(error))
            return
        if {job.id for job in now} != set(shown):
            st.rerun()
        if any(job.state != "running" for job in now):
            resources.ensure_worker(root)
            trouble = resources.worker_trouble(root)
            if trouble is not None:
                job_panel.worker_trouble(trouble, "live")
        for job in now:
            _living_card(jobs, job)

    panel()


def _living_card(jobs: Jobs, job: Job) -> None:
    with st.container(border=True, key=f"live-{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _name(job)
            _open_button(job)
            job_panel.cancel_button(job, f"live-{job.id}")
        if job.state == "running":
            st.progress(job.fraction, text=job_panel.progress_line(job))
            st.caption(job_panel.pace_line(job, jobs.remaining(job)))
        else:
            st.caption(job_panel.progress_line(job, jobs.ahead(job), resources.workspaces_first(modes.workspace_root())))
        if job.interruption and job.live:
            st.caption(job_panel.resumed_line(job))


def _ended(jobs: Jobs, ended: Sequence[Job], models: Collection[str], opened: str | None) -> None:
    """Jobs that have ended, one card each.

    Args:
        opened: the one to be shown in full in its place.
    """
    wanted = st.segmented_control("Show", list(SHOW), default="All", required=True, key=JobsPage.key("show"), bind="query-params")
    listed = [job for job in ended if SHOW[wanted](job)]
    if not listed:
        st.caption(f"None of {counted(len(ended), 'job')} is under “{wanted}”.")
        return
    now = datetime.now(UTC)
    for job in listed[pager(len(listed), PER_PAGE, key=JobsPage.key("page", wanted))]:
        if job.id == opened:
            _detail(jobs, job, models)
        else:
            _ended_card(job, models, now)


def _ended_card(job: Job, models: Collection[str], now: datetime) -> None:
    with st.container(border=True, key=f"ended-{job.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _name(job)
            _result_link(job, models, f"ended-{job.id}")
            if job.state != "done":
                job_panel.again_button(job, f"ended-{job.id}")
            _open_button(job)
        summary = _summary(job)
        st.caption(job_panel.facts(job, now) + (f" · {plain(summary)}" if summary else ""))
        if job.error:
            st.markdown(f":red[{plain(job.error)}]" if job.state == "failed" else plain(job.error))


def _name(job: Job) -> None:
    state = job_panel.STATES[job.state]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
        st.badge(state.label, icon=state.icon, color=state.colour)
        st.markdown(f"**{plain(job_panel.title(job))}**", width="stretch")


def _open_button(job: Job) -> None:
    st.button("Details", key=f"open-{job.id}", type="tertiary", icon=":material/unfold_more:", on_click=_open, args=(job.id,))


def _open(identifier: str | None) -> None:
    """Callback: show a job in full, or none."""
    JobsPage.put(job=identifier)
    _OPENED_IN_PLACE.put(identifier)


def _result_link(job: Job, models: Collection[str], key: str) -> None:
    """Where the result of a job that is done can be seen; where its model is gone or there is none, the page without it."""
    shown = _appearance(job)
    if job.state != "done" or shown is None:
        return
    page, model = f"pages/{shown.page}.py", str((job.result or {}).get("model", ""))
    # The model is named even where it is the default: another one may be chosen.
    named = {MODEL.name: short(model)} if model in models and page != ExportPage.SCRIPT else {}
    with st.container(key=f"{key}-result", width="content"):
        Link(page, modes.address() | {JOB.name: job.id} | named).draw(shown.link, icon=":material/arrow_forward:")


def _summary(job: Job) -> str:
    """The main figures of what a job made; empty where it has none."""
    shown = _appearance(job)
    if job.state != "done" or not job.result or shown is None or shown.figures is None:
        return ""
    try:
        return shown.figures(job.result)
    except (KeyError, TypeError, ValueError):
        # The record of another version.
        return ""


def _appearance(job: Job) -> AsJob | None:
    return VERBS[job.kind].job if job.kind in VERBS else None


def _detail(jobs: Jobs, job: Job, models: Collection[str]) -> None:
    """One job in full: how it goes, what was asked, what it printed."""
    with st.container(border=True, key="job_detail"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _name(job)
            _result_link(job, models, "detail")
            st.button("Close", key="close_job", type="tertiary", icon=":material/close:", on_click=_open, args=(None,))
        job_panel.watch(job.id, key="job", curves=None)
        st.caption(f"{job_panel.facts(job, datetime.now(UTC))} · `{job.id}`")
        asked, log = st.columns(2, gap="medium")
        with asked:
            st.markdown("###### Request", anchors=False)
            _parameters(job)
        with log:
            st.markdown("###### Log", anchors=False)
            _log(jobs, job)


def _parameters(job: Job) -> None:
    lines = [f"| {plain(name.replace('_', ' '))} | {_value(value)} |" for name, value in job.parameters.items()]
    if lines:
        st.markdown("\n".join(["| Parameter | Value |", "| --- | --- |", *lines]))
    else:
        st.caption("All defaults.")


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
    return plain(text if len(text) <= 200 else f"{text[:199]}…").replace("\n", " ")


def _log(jobs: Jobs, job: Job) -> None:
    @st.fragment(run_every=LOG_EVERY if job.state == "running" else None)
    def panel() -> None:
        try:
            text = jobs.log(job.id)
        except CbmError as error:
            messages.error(str(error))
            return
        if text:
            st.code(text[-LOG_CHARACTERS:], language=None, height=240 if text.count("\n") > 10 else "content")
        else:
            st.caption("Nothing so far." if job.live else "Nothing.")

    panel()
