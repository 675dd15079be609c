"""The workers behind the pages: one is there whenever the visitor's workspace has work."""

from __future__ import annotations

from pathlib import Path

from cbm.jobs import Jobs
from cbm.jobs.attached import crew
from cbm.ui.access import modes
from cbm.workspace.workspace import Workspace

_TAKEN_UP: set[str] = set()


def ensure(root: str, *, anew: bool = False) -> None:
    """See to it that a worker serves this workspace or will soon.

    Args:
        anew: a person asks; what went wrong before is forgotten.
    """
    if modes.may_write():
        crew().ensure(root, anew=anew)


def others_first(root: str) -> int:
    """How many other workspaces get a worker before this one."""
    return crew().position(root)


def trouble(root: str) -> str | None:
    """The last words of a worker that does not start; None where all is well."""
    return crew().trouble(root)


def take_up(root: str) -> None:
    """Once for each workspace that this server sees: go on with the jobs that an earlier server left."""
    if not modes.may_write() or root in _TAKEN_UP:
        return
    _TAKEN_UP.add(root)
    # A workspace that never had jobs is left as it is.
    if (Path(root) / "jobs" / "jobs.db").is_file() and Jobs(Workspace(root)).waiting():
        ensure(root)
