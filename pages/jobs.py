"""All long work of this workspace: how far it is, what it said, and what to do when it failed."""

import streamlit as st

from cbm.errors import NotFoundError
from cbm.ui import access, job_panel, navigation, resources, session
from cbm.ui.cards import page_title, show_error
from cbm.ui.jobs import panels
from cbm.ui.text import counted

navigation.require_entry()

PER_PAGE = 15
SHOW = {
    "All": lambda job: True,
    "Done": lambda job: job.state == "done",
    "Failed": lambda job: job.state == "failed",
    "Stopped": lambda job: job.state in ("cancelled", "interrupted"),
}

access.require_write()
root = access.workspace_root()
jobs = resources.jobs(root)
page_title("Jobs", "All long work of this workspace: how far it is, what it said, and what to do when it failed.")

models = resources.catalogue(root).models
asked = session.asked(job_panel.PARAMETER)
if asked is not None:
    try:
        panels.detail(jobs, jobs.get(asked), models)
    except NotFoundError as error:
        show_error(str(error), hint="The jobs that exist are listed below.")

everything = jobs.list()
if not everything:
    panels.empty()
    st.stop()
others = [job for job in everything if job.id != asked]
live = [job.id for job in others if job.live or job.resuming]
if live:
    st.subheader("Now", anchor=False)
    panels.living(jobs, live, besides=asked)

ended = [job for job in others if job.id not in live]
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
panels.ended(listed[(page - 1) * PER_PAGE : page * PER_PAGE], models)
