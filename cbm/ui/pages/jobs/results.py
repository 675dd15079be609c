"""What came of a job: its main figures in one line, and the page that shows them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from cbm.jobs import Job
from cbm.ui.frame import navigation
from cbm.ui.frame.session import short
from cbm.ui.frame.text import counted, percent


@dataclass(frozen=True)
class Destination:
    """A page and the query parameters that make it show a job's result."""

    page: str
    label: str
    parameters: Mapping[str, str] = field(default_factory=dict)


_PAGES: Mapping[str, tuple[str, str]] = {
    "embed": (navigation.DATA, "Open the images"),
    "import_vectors": (navigation.DATA, "Open the vectors"),
    "vocabulary": (navigation.DISCOVER, "Name concepts with it"),
    "discover": (navigation.DISCOVER, "Open the dictionary"),
    "sweep": (navigation.DISCOVER, "Compare the settings"),
    "name": (navigation.CLASSIFY, "Train with these concepts"),
    "train": (navigation.CLASSIFY, "Open the classifier"),
    "evaluate": (navigation.CLASSIFY, "Open the classifier"),
    "edit": (navigation.INTERVENE, "Open the edited model"),
    "export": (navigation.EXPORT, "Open the bundle"),
    "import_bundle": (navigation.CLASSIFY, "Open the model"),
    "demo": (navigation.START, "Open the demo"),
    "build": (navigation.START, "Open the classifier"),
}


def destination(job: Job, models: Collection[str]) -> Destination | None:
    """Where the result of a job that is done can be seen; where its model is gone or there is none, the page without it.

    Args:
        models: ids of the concept models that the workspace holds.
    """
    if job.state != "done" or job.kind not in _PAGES:
        return None
    page, label = _PAGES[job.kind]
    model = str((job.result or {}).get("model", ""))
    known = {"model": short(model)} if model in models and page != navigation.EXPORT else {}
    return Destination(page, label, {"job": job.id} | known)


def summary(job: Job) -> str:
    """The main figures of what a job made; empty where it has none."""
    if job.state != "done" or not job.result or job.kind not in _SUMMARIES:
        return ""
    try:
        return _SUMMARIES[job.kind](job.result)
    except (KeyError, TypeError, ValueError):
        # The record of another version.
        return ""


def _embedded(result: Mapping[str, Any]) -> str:
    parts = [counted(result["count"], "image")]
    if result.get("reused"):
        parts.append(f"{result['reused']:,} known before")
    if result.get("rejected"):
        parts.append(f"{counted(result['rejected'], 'file')} rejected")
    return ", ".join(parts)


def _trained(result: Mapping[str, Any]) -> str:
    return f"accuracy {percent(result['accuracy'])}, linear probe {percent(result['linear_probe'])}"


def _built(result: Mapping[str, Any]) -> str:
    trained = result["trained"]
    figures = _trained(trained) if trained else f"{counted(result['named']['named'], 'concept')} named, no classes to tell apart"
    return f"{counted(result['images'], 'image')}, {figures}"


def _edited(result: Mapping[str, Any]) -> str:
    change = f"accuracy {percent(result['accuracy_before'])} → {percent(result['accuracy_after'])}"
    return f"{change}, {result['corrected']:,} corrected, {result['newly_wrong']:,} newly wrong"


_SUMMARIES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "embed": _embedded,
    "import_vectors": lambda result: f"{counted(result['count'], 'vector')} of {result['dim']:,} dimensions",
    "vocabulary": lambda result: counted(result["count"], "name"),
    "discover": lambda result: (
        f"unexplained variance {result['fvu']:.3f}, {result['l0']:.1f} concepts per image, {percent(result['dead'])} dead"
    ),
    "name": lambda result: f"{counted(result['named'], 'concept')} named, {result['unique']:,} different names",
    "train": _trained,
    "build": _built,
    "sweep": lambda result: f"{counted(len(result['runs']), 'setting')} tried",
    "edit": _edited,
    "export": lambda result: counted(len(result["files"]), "file"),
    "demo": lambda result: f"accuracy {percent(result['metrics']['accuracy_nec5'])} with 5 concepts per class",
}
