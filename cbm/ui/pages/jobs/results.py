"""What came of a job: its main figures in one line, and the page that shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cbm.jobs import Job
from cbm.registry import VERBS
from cbm.ui.frame import navigation
from cbm.ui.frame.session import short
from cbm.verbs.base import AsJob


@dataclass(frozen=True)
class Destination:
    """A page and the query parameters that make it show a job's result."""

    page: str
    label: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def destination(job: Job, models: Collection[str]) -> Destination | None:
    """Where the result of a job that is done can be seen; where its model is gone or there is none, the page without it.

    Args:
        models: ids of the concept models that the workspace holds.
    """
    shown = _shown(job)
    if job.state != "done" or shown is None:
        return None
    page = f"pages/{shown.page}.py"
    model = str((job.result or {}).get("model", ""))
    known = {"model": short(model)} if model in models and page != navigation.EXPORT else {}
    return Destination(page, shown.link, {"job": job.id} | known)


def summary(job: Job) -> str:
    """The main figures of what a job made; empty where it has none."""
    shown = _shown(job)
    if job.state != "done" or not job.result or shown is None or shown.figures is None:
        return ""
    try:
        return shown.figures(job.result)
    except (KeyError, TypeError, ValueError):
        # The record of another version.
        return ""


def _shown(job: Job) -> AsJob | None:
    return VERBS[job.kind].job if job.kind in VERBS else None
