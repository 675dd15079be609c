"""Long work outside the page: submit, watch, cancel, retry. What a job did is in the workspace, whoever asked for it and whoever ran it.

`Jobs` is what pages and scripts hold; `cbm.jobs.worker` runs what they submit, each job in a process of its own (`cbm.jobs.child`).
"""

from cbm.jobs.records import LIVE, Job, State, job_kinds
from cbm.jobs.store import Jobs

__all__ = ["LIVE", "Job", "Jobs", "State", "job_kinds"]
