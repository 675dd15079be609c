"""report: a model beside its held-out images, as one HTML file."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from cbm.core.files import write_text
from cbm.core.run import Run
from cbm.verbs.base import Option, Settings, VerbResult, verb
from cbm.workspace.workspace import Workspace


@dataclass(frozen=True)
class Report(Settings):
    model: str
    """Id of a concept model, or the folder of a bundle."""
    _: KW_ONLY
    on: str | None = None
    """Embedding set to look at; the model's test images when absent."""
    file: Annotated[Path | None, Option("out")] = None
    """HTML file to write; named after the model, in the current folder, when absent."""


@dataclass(frozen=True)
class Reported(VerbResult):
    report: str
    """The file."""
    bytes: int
    accuracy: float | None
    """On the labelled held-out images, the model's edits in force."""
    concepts: int
    """Concepts that the report names."""


@verb(Report)
def report(settings: Report, workspace: Workspace, run: Run) -> Reported:
    """One HTML file on a model: figures beside baselines, concepts with pictures, classes, confusions and edits; it needs no network."""
    from cbm.study.report import report_html
    from cbm.study.study import Study

    study = Study.open(settings.model, workspace=workspace, on=settings.on)
    name = Path(settings.model).resolve().name if Path(settings.model).is_dir() else settings.model
    file = (settings.file or Path(f"report-{name}.html")).expanduser()
    text = report_html(study, f"Concept model {name}", run)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    shown = [concept for concept in study.concepts() if not concept.hidden]
    return Reported(str(file), len(text.encode()), study.accuracy, len(shown))
