"""All long work of this workspace: how far it is, what it said, and what to do when it failed."""

import streamlit as st

from cbm.ui.access import modes
from cbm.ui.frame import navigation, resources, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.frame.text import counted
from cbm.ui.pages.jobs import panels
from cbm.ui.widgets import job_panel

navigation.require_entry()

PER_PAGE = 15
SHOW = {
    "All": lambda job: True,
    "Done": lambda job: job.state == "done",
    "Failed": lambda job: job.state == "failed",
    "Stopped": lambda job: job.state in ("cancelled", "interrupted"),
}

modes.require_writing_mode()
root = modes.workspace_root()
jobs = resources.jobs(root)
page_title("Jobs", "All long work of this workspace: how far it is, what it said, and what to do when it failed.")

models = resources.catalogue(root).models
everything = jobs.list()
if not everything:
    panels.empty()
    st.stop()
asked = session.asked(job_panel.PARAMETER)
opened = next((job for job in everything if job.id == asked), None)
if asked is not None and opened is None:
    show_error(f"There is no job {asked!r} in this workspace.", hint="The jobs that exist are listed below.")
in_place = opened is not None and panels.opened_here(opened)
if opened is not None and not in_place:
    panels.detail(jobs, opened, models)

live = [job.id for job in everything if (job.live or job.resuming) and job is not opened]
if live:
    st.subheader("Now", anchor=False)
    panels.living(jobs, live, besides=asked)

ended = [job for job in everything if not (job.live or job.resuming) and (in_place or job is not opened)]
if not ended:
    st.stop()
st.subheader("Before" if live else "Ended", anchor=False)
show = st.segmented_control("Show", list(SHOW), default="All", required=True, key="jobs_show", bind="query-params")
listed = [job for job in ended if SHOW[show](job)]
if not listed:
    st.caption(f"None of {counted(len(ended), 'job')} is under “{show}”.")
    st.stop()
pages = -(-len(listed) // PER_PAGE)
page = st.pagination(pages, key=f"jobs_page-{show}") if pages > 1 else 1
panels.ended(jobs, listed[(page - 1) * PER_PAGE : page * PER_PAGE], models, asked if in_place else None)
