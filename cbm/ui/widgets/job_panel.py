"""Long work on any page, in the same words everywhere: ask for it, watch it, stop it, resume it. It runs outside the page (`cbm.jobs`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import streamlit as st

from cbm.core.errors import CbmError, InvalidInputError
from cbm.jobs import Job, Jobs, State
from cbm.jobs.history import Reported
from cbm.registry import VERBS
from cbm.ui.access import modes, quotas
from cbm.ui.frame import messages, resources
from cbm.ui.frame.formats import ago, counted, duration, left, plain
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import JOB
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures.discovery import reported_curve

EVERY = "1s"
MANY_CURVES = 6
_SEEN_LIVE = Slot[tuple[str, ...]]("jobs_seen_live", ())
"""Jobs that this visitor saw alive."""


@dataclass(frozen=True)
class StateWords:
    label: str
    icon: str
    colour: Literal["gray", "blue", "green", "red", "orange"]
    """Of `st.badge`."""


STATES: Mapping[State, StateWords] = {
    "queued": StateWords("Waiting", ":material/schedule:", "gray"),
    "running": StateWords("Running", ":material/play_circle:", "blue"),
    "done": StateWords("Done", ":material/check_circle:", "green"),
    "failed": StateWords("Failed", ":material/error:", "red"),
    "cancelled": StateWords("Cancelled", ":material/cancel:", "gray"),
    "interrupted": StateWords("Interrupted", ":material/power_off:", "orange"),
}
_FIGURES: Mapping[str, str] = {
    "fvu": "Unexplained variance (FVU)",
    "l0": "Active concepts per image (L0)",
    "dead": "Dead concepts (share)",
    "loss": "Loss",
    "nec": "Concepts per class (NEC)",
    "accuracy": "Accuracy",
    "held_out_accuracy": "Held-out accuracy",
    "images_per_second": "Images per second",
    "encoded": "Newly encoded",
    "rejected": "Rejected",
}


def submit(kind: str, parameters: Mapping[str, Any], *, title: str) -> str:
    """Ask for a verb to be run, and let the URL name the job. An equal request that is waiting or running is joined.

    Args:
        kind: one of `cbm.jobs.job_kinds()`.
        parameters: the verb's keyword arguments as JSON holds them; paths absolute.
        title: what to call it in the list of jobs: "Encode 2,465 images of caltech".

    Returns:
        The job's id, for `watch`.

    Raises:
        NotAllowedError: in demo mode, or a path in the parameters leads out of a hosted visitor's workspace.
        LimitError: too many jobs for one visitor.
        InvalidInputError: the parameters cannot be a job.
    """
    quotas.check_job(parameters)
    root = modes.workspace_root()
    identifier = resources.jobs(root).submit(kind, parameters, title=title)
    JOB.put(identifier)
    resources.ensure_worker(root, anew=True)
    _remember_live(identifier)
    return identifier


def ask(kind: str, parameters: Mapping[str, Any], *, title: str) -> None:
    """`submit` as a button's callback: what the visitor can mend is told above the page."""
    with messages.refusals():
        submit(kind, parameters, title=title)


def latest(root: str, kinds: Collection[str]) -> Job | None:
    """The job of these kinds that a page should show: the one that the URL names, else the newest; None where there is none."""
    if not modes.may_write():
        return None
    return resources.jobs(root).newest(kinds, prefer=JOB.read())


def watch(job_id: str, *, key: str, curves: Sequence[str] | None = (), on_done: Callable[[Job], None] | None = None) -> Job:
    """Draw a job: how far it is while it lives, how it ended after that. Only a living job is asked again and again.

    When it ends the whole page runs once more, with what it made in the catalogue.

    Args:
        key: of the panel, unique on the page.
        curves: names among the job's figures to be drawn while they come; those that it does not report are left out. None draws the
            first `MANY_CURVES` that it reports.
        on_done: called once, in the run of the page that first sees the job done; not when a visitor comes to a job that was done before.

    Returns:
        The job as it is now.

    Raises:
        NotFoundError: there is no such job.
    """
    root = modes.workspace_root()
    jobs = resources.jobs(root)
    job = jobs.get(job_id)
    if job.live or job.resuming:
        _remember_live(job_id)
        trouble = _trouble(root, job)
        with st.container(key=key):
            if trouble is None:
                _live_panel(jobs, job, key, curves)
            else:
                _no_worker(job, key, trouble)
        return job
    with st.container(key=key):
        _ended(jobs, job, key, curves)
    if _forget_live(job_id):
        resources.forget_catalogue()
        if job.state == "done" and on_done is not None:
            on_done(job)
    return job


def _live_panel(jobs: Jobs, job: Job, key: str, curves: Sequence[str] | None) -> None:
    drawn, root = (job.state, job.attempt), modes.workspace_root()

    @st.fragment(run_every=EVERY)
    def panel() -> None:
        try:
            now = jobs.get(job.id)
        except CbmError as error:
            messages.error(str(error))
            return
        if (now.state, now.attempt) != drawn or _trouble(root, now) is not None:
            # What this panel was drawn for is over: the page as a whole says what came of it.
            if not now.live:
                resources.forget_catalogue()
            st.rerun()
        _living(jobs, now, key, curves)

    panel()


def _trouble(root: str, job: Job) -> str | None:
    """Why the job would wait for ever; where it need not, a worker is on its way after this."""
    if job.state == "running":
        return None
    resources.ensure_worker(root)
    return resources.worker_trouble(root)


def _no_worker(job: Job, key: str, trouble: str) -> None:
    worker_trouble(trouble, key)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{plain(title(job))} waits for it.", width="stretch")
        cancel_button(job, key)


def worker_trouble(trouble: str, key: str) -> None:
    """No worker stays alive: what the last one said, and a way to try again."""
    st.error(f"Jobs are waiting, but their worker fails as soon as it starts. It reported: {plain(trouble)}", icon=":material/power_off:")
    st.button("Start the worker again", key=f"{key}-start", icon=":material/replay:", on_click=_start_worker)


def _start_worker() -> None:
    with messages.refusals():
        resources.ensure_worker(modes.workspace_root(), anew=True)


def _living(jobs: Jobs, job: Job, key: str, curves: Sequence[str] | None) -> None:
    others = resources.workspaces_first(modes.workspace_root()) if job.state == "queued" else 0
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.progress(job.fraction, text=progress_line(job, jobs.ahead(job), others))
        cancel_button(job, key)
    st.caption(pace_line(job, jobs.remaining(job)))
    if job.interruption and job.live:
        st.caption(resumed_line(job))
    _curves(jobs, job, key, curves)


def cancel_button(job: Job, key: str) -> None:
    """Stops a job; says so until it has stopped."""
    st.button(
        "Cancelling …" if job.cancelling else "Cancel",
        key=f"{key}-cancel",
        icon=":material/stop_circle:",
        disabled=job.cancelling,
        on_click=cancel,
        args=(job.id,),
    )


def _curves(jobs: Jobs, job: Job, key: str, curves: Sequence[str] | None) -> None:
    if curves is not None and not curves:
        return
    reported = jobs.history(job.id)
    if job.live:
        reported = _until_last_redraw(reported)
    if curves is None:
        curves = list({name: None for entry in reported for name in entry.figures})[:MANY_CURVES]
    drawn = [name for name in curves if sum(name in entry.figures for entry in reported) > 1]
    if not drawn:
        return
    with st.grid(len(drawn), min_column_width=230, gap="small", key=f"{key}-curves") as grid:
        for position, name in enumerate(drawn):
            seconds, values = zip(*((entry.seconds, entry.figures[name]) for entry in reported if name in entry.figures), strict=True)
            label = figure_name(name)
            grid.plotly_chart(
                reported_curve(label, seconds, values, position),
                key=f"{key}-curve-{name}",
                config=figures.CHART_OPTIONS,
                alt=f"{label} over time, now {values[-1]:.3g}",
            )


def _until_last_redraw(reported: Sequence[Reported]) -> Sequence[Reported]:
    """What the charts of a running job show: drawn with every report, they would keep a core of the visitor's machine busy."""
    newest = reported[-1].seconds if reported else 0.0
    between = next((step for step in (4.0, 8.0, 16.0) if newest < 20 * step), 32.0)
    return [entry for entry in reported if entry.seconds <= newest // between * between]


def _ended(jobs: Jobs, job: Job, key: str, curves: Sequence[str] | None) -> None:
    state = STATES[job.state]
    text = f"**{state.label}**: {plain(title(job))}. {plain(job.error or '')}".rstrip()
    if job.state == "done":
        st.caption(f":green[{state.icon}] {plain(title(job))}: {took(job)}")
    elif job.state == "failed":
        st.error(text, icon=state.icon)
    elif job.state == "interrupted":
        st.warning(text, icon=state.icon)
    else:
        st.info(f"{text} Finished work is kept.", icon=state.icon)
    if job.state != "done" and modes.may_write():
        again_button(job, key)
    if job.interruption and job.state == "done":
        st.caption(resumed_line(job))
    if job.log and job.state in ("failed", "interrupted"):
        with st.expander("Log", icon=":material/terminal:"):
            st.code(job.log[-4000:], language=None)
    if job.state != "done":
        _curves(jobs, job, key, curves)


def again_button(job: Job, key: str) -> None:
    """Runs a job again that did not come to its end."""
    label = "Retry" if job.state == "failed" else "Resume"
    st.button(label, key=f"{key}-retry", icon=":material/replay:", on_click=retry, args=(job.id,))


def cancel(identifier: str) -> None:
    """Callback: stop a job; it ends within two seconds."""
    with messages.refusals():
        modes.require_write()
        resources.jobs(modes.workspace_root()).cancel(identifier)


def retry(identifier: str) -> None:
    """Callback: run a job again, from its checkpoint where it has one."""
    with messages.refusals():
        root = modes.workspace_root()
        jobs = resources.jobs(root)
        quotas.check_job(jobs.get(identifier).parameters)
        try:
            found = jobs.retry(identifier)
        except InvalidInputError:
            # Somebody else did so in this moment, or it went on by itself; the page shows how it is now.
            found = identifier
        if JOB.read() is not None or found != identifier:
            JOB.put(found)
        resources.ensure_worker(root, anew=True)
        _remember_live(found)


def _remember_live(identifier: str) -> None:
    _SEEN_LIVE.put((*(known for known in _SEEN_LIVE.get() if known != identifier), identifier))


def _forget_live(identifier: str) -> bool:
    """Whether this visitor saw the job alive; false from then on."""
    known = _SEEN_LIVE.get()
    _SEEN_LIVE.put(tuple(other for other in known if other != identifier))
    return identifier in known


# In words


def kind(job: Job) -> str:
    known = VERBS[job.kind].job if job.kind in VERBS else None
    return known.title if known else job.kind.replace("_", " ").capitalize()


def title(job: Job) -> str:
    return job.title or kind(job)


def figure_name(name: str) -> str:
    return _FIGURES.get(name, name.replace("_", " ").capitalize())


def progress_line(job: Job, ahead: int = 0, others: int = 0) -> str:
    """The line above the progress bar.

    Args:
        ahead: jobs of this workspace that run or wait before one that waits.
        others: workspaces of other visitors that get a worker first.
    """
    if job.cancelling:
        return "Cancelling …"
    if job.state == "interrupted":
        return "The worker stopped; the job resumes in a moment"
    if job.state == "queued":
        if others:
            return f"Waiting for a free slot: {counted(others, 'visitor')} first"
        return f"Waiting: {counted(ahead, 'job')} first" if ahead else "Waiting for a worker to start"
    return plain(job.message) or "Starting"


def pace_line(job: Job, remaining: float | None) -> str:
    """Time, speed and what is left of a job that lives, in one line."""
    parts = []
    if job.state == "running":
        parts.append(f"{job.fraction:.0%}")
        parts.append(f"running for {duration(job.seconds or 0.0)}")
        rate = job.figures.get("images_per_second")
        if rate:
            parts.append(f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s")
        rejected = job.figures.get("rejected")
        if rejected:
            parts.append(f"{counted(round(rejected), 'file')} rejected")
        if remaining is not None and not job.cancelling:
            parts.append(left(remaining))
    else:
        parts.append("It continues when this page is closed; see the Jobs page.")
    return " · ".join(parts)


def resumed_line(job: Job) -> str:
    """Why a job did not run in one go, for one whose worker ended."""
    if job.interruption == "died":
        times = f" {job.resumed} times" if job.resumed > 1 else ""
        return f":material/restart_alt: Resumed{times} after its worker died."
    return ":material/restart_alt: Resumed after the app was restarted."


def took(job: Job) -> str:
    seconds = job.seconds
    return "done" if seconds is None else f"done in {duration(seconds)}"


def facts(job: Job, now: datetime) -> str:
    """Kind, time and, where it has ended, duration of a job in one line."""
    parts = [kind(job)] if job.title and job.title != kind(job) else []
    parts.append(f"started {ago(job.started, now)}" if job.started else f"asked for {ago(job.created, now)}")
    if job.finished and job.seconds is not None:
        parts.append(f"took {duration(job.seconds)}" if job.state == "done" else f"ended after {duration(job.seconds)}")
    if job.attempt > 1:
        parts.append(f"attempt {job.attempt}")
    line = " · ".join(parts)
    return line[:1].upper() + line[1:]
