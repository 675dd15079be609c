"""The page of jobs: what lives, what has ended, and one job in full."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import streamlit as st

from cbm.core.errors import CbmError
from cbm.jobs import Job, Jobs
from cbm.ui.access import modes
from cbm.ui.frame import job_workers, navigation, session
from cbm.ui.frame.cards import show_error
from cbm.ui.frame.text import plain
from cbm.ui.pages.jobs import results
from cbm.ui.widgets import job_panel, job_words

EVERY = "1s"
LOG_EVERY = "2s"
LOG_CHARACTERS = 8000
_OPENED = "jobs_opened"


def empty() -> None:
    """A workspace in which nothing has been asked for."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown("## :material/pending_actions:", text_alignment="center", anchors=False)
        st.subheader("No long work yet", anchor=False, text_alignment="center", width="stretch")
        st.markdown(
            "Encoding images, discovering concepts and training classifiers take minutes, so they run beside the app as jobs. "
            "You can close the page meanwhile: they go on, and stand here with their progress and their log.",
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.page_link(navigation.DATA, label="Bring images", icon=":material/photo_library:")
            st.page_link(navigation.START, label="Go to start", icon=":material/flag:")


def living(jobs: Jobs, shown: Collection[str], besides: str | None) -> None:
    """The jobs that wait or run, asked again every second while there are any.

    Args:
        shown: those that live as the page is drawn; when one of them ends or another comes, the whole page is drawn again.
        besides: a job that is shown elsewhere on the page.
    """
    root = modes.workspace_root()

    @st.fragment(run_every=EVERY)
    def panel() -> None:
        try:
            now = [job for job in jobs.live() if job.id != besides]
        except CbmError as error:
            # A fragment runs outside of what tells errors of a page.
            show_error(str(error))
            return
        if {job.id for job in now} != set(shown):
            st.rerun()
        if any(job.state != "running" for job in now):
            job_workers.ensure(root)
            trouble = job_workers.trouble(root)
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
            st.progress(job.fraction, text=job_words.progress_line(job))
            st.caption(job_words.pace_line(job, jobs.remaining(job)))
        else:
            st.caption(job_words.progress_line(job, jobs.ahead(job), job_workers.others_first(modes.workspace_root())))
        if job.interruption and job.live:
            st.caption(job_words.resumed_line(job))


def ended(jobs: Jobs, listed: Sequence[Job], models: Collection[str], opened: str | None) -> None:
    """Jobs that have ended, one card each.

    Args:
        opened: the one to be shown in full in its place.
    """
    now = datetime.now(UTC)
    for job in listed:
        if job.id == opened:
            detail(jobs, job, models)
            continue
        with st.container(border=True, key=f"ended-{job.id}"):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                _name(job)
                _result_link(job, models, f"ended-{job.id}")
                if job.state != "done":
                    job_panel.again_button(job, f"ended-{job.id}")
                _open_button(job)
            summary = results.summary(job)
            st.caption(job_words.facts(job, now) + (f" · {plain(summary)}" if summary else ""))
            if job.error:
                st.markdown(f":red[{plain(job.error)}]" if job.state == "failed" else plain(job.error))


def _name(job: Job) -> None:
    state = job_words.STATES[job.state]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch"):
        st.badge(state.label, icon=state.icon, color=state.colour)
        st.markdown(f"**{plain(job_words.title(job))}**", width="stretch")


def _open_button(job: Job) -> None:
    st.button("Details", key=f"open-{job.id}", type="tertiary", icon=":material/unfold_more:", on_click=open_job, args=(job.id,))


def open_job(identifier: str | None) -> None:
    """Callback: show a job in full, or none."""
    session.put(job_panel.PARAMETER, identifier)
    st.session_state[_OPENED] = identifier


def opened_here(job: Job) -> bool:
    """Whether a job was opened from the list, where the visitor looks for it; one that the address names stands on top."""
    return not (job.live or job.resuming) and st.session_state.get(_OPENED) == job.id


def _result_link(job: Job, models: Collection[str], key: str) -> None:
    found = results.destination(job, models)
    if found is not None:
        with st.container(key=f"{key}-result", width="content"):
            st.page_link(found.page, label=found.label, icon=":material/arrow_forward:", query_params=dict(found.parameters))


def detail(jobs: Jobs, job: Job, models: Collection[str]) -> None:
    """One job in full: how it goes, what was asked, what it printed."""
    with st.container(border=True, key="job_detail"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            _name(job)
            _result_link(job, models, "detail")
            st.button("Close", key="close_job", type="tertiary", icon=":material/close:", on_click=open_job, args=(None,))
        job_panel.watch(job.id, key="job", curves=None)
        st.caption(f"{job_words.facts(job, datetime.now(UTC))} · `{job.id}`")
        asked, log = st.columns(2, gap="medium")
        with asked:
            st.markdown("###### What was asked", anchors=False)
            _parameters(job)
        with log:
            st.markdown("###### What it printed last", anchors=False)
            _log(jobs, job)


def _parameters(job: Job) -> None:
    lines = [f"| {plain(name.replace('_', ' '))} | {_value(value)} |" for name, value in job.parameters.items()]
    if lines:
        st.markdown("\n".join(["| Parameter | Value |", "| --- | --- |", *lines]))
    else:
        st.caption("Everything as it is by default.")


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
    return plain(text if len(text) <= 200 else f"{text[:199]}…").replace("\n", " ")


def _log(jobs: Jobs, job: Job) -> None:
    @st.fragment(run_every=LOG_EVERY if job.state == "running" else None)
    def panel() -> None:
        try:
            text = jobs.log(job.id)
        except CbmError as error:
            show_error(str(error))
            return
        if text:
            st.code(text[-LOG_CHARACTERS:], language=None, height=240 if text.count("\n") > 10 else "content")
        else:
            st.caption("Nothing so far." if job.live else "Nothing.")

    panel()
