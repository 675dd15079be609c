"""What several verbs take on the command line, and how their arguments are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbm.core.errors import InvalidInputError

if TYPE_CHECKING:
    from cbm.workspace.workspace import Workspace

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", envvar="CBM_WORKSPACE", help="Folder of all artefacts.", show_default="data/workspace")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything random.")]
BackboneOption = Annotated[str, typer.Option(help="demo, an open_clip architecture such as ViT-B-32, or a model configuration.")]
PretrainedOption = Annotated[str | None, typer.Option(help="open_clip tag, or a checkpoint file (.safetensors, .pt).")]


def open_workspace(root: Path | None) -> Workspace:
    """The workspace that the command names, or the default one."""
    from cbm.workspace.workspace import Workspace

    return Workspace(root)


def numbers(text: str, convert: Callable[[str], Any], option: str) -> list[Any]:
    """Numbers with commas between them, as `option` takes them.

    Raises:
        InvalidInputError: something else is there.
    """
    try:
        return [convert(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InvalidInputError(f"{option} {text!r} must be numbers separated by commas.") from error
