"""Verbs on the workspace itself: list, show, remove."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cbm.cli.options import (
    JsonOption,
    WorkspaceOption,
    open_workspace,
)
from cbm.cli.printing import artifact_record, dumps, print_json
from cbm.core.errors import InvalidInputError

cli = typer.Typer()


@cli.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="embeddings, vocabulary, dictionary, concepts or model.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """The artefacts of the workspace, oldest first."""
    from cbm.workspace.workspace import KINDS

    if kind is not None and kind not in KINDS:
        raise InvalidInputError(f"Unknown kind {kind!r}; kinds are {', '.join(KINDS)}.")
    home = open_workspace(workspace)
    artifacts = home.list(kind)
    for error in home.damaged():
        print(f"Damaged: {error}", file=sys.stderr)
    if json:
        print_json({"artifacts": [artifact_record(artifact) for artifact in artifacts]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "created", "made from", box=None)
    for artifact in artifacts:
        table.add_row(artifact.id, artifact.created[:19], ", ".join(artifact.parents))
    Console().print(table if artifacts else "Nothing here yet. Start with: cbm demo")


@cli.command()
def show(identifier: Annotated[str, typer.Argument(metavar="ID")], workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """One artefact: what made it, and its figures."""
    record = artifact_record(open_workspace(workspace).get(identifier))
    if json:
        print_json(record)
    else:
        from rich.console import Console

        Console().print_json(dumps(record))


@cli.command()
def remove(identifier: Annotated[str, typer.Argument(metavar="ID")], workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Delete one artefact from which nothing else was made."""
    home = open_workspace(workspace)
    removed = home.get(identifier).id
    home.remove(removed)
    if json:
        print_json({"removed": removed})
    else:
        print(f"Removed {removed}")
