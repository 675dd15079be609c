"""Verbs that make and use concept models: train, evaluate, explain, edit, export, load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbm.cli.options import (
    DeviceOption,
    JsonOption,
    SeedOption,
    WorkspaceOption,
    numbers,
    open_workspace,
)
from cbm.cli.printing import print_result, progress_bar

cli = typer.Typer()


@cli.command()
def train(
    concepts: Annotated[str, typer.Argument(help="Id of named concepts.")],
    on: Annotated[str, typer.Option(help="Labelled embedding set to train on.")],
    test: Annotated[
        str | None, typer.Option(help="Labelled set to test on; the test split of --on, or a fifth of it, when absent.")
    ] = None,
    head: Annotated[str, typer.Option(help="sparse (holds the first NEC listed), dense, or dn-cbm.")] = "sparse",
    nec: Annotated[str, typer.Option(help="Numbers of effective concepts per class to report.")] = "5,10,15,20,25,30",
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train a concept model, beside its baselines."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.train(
            concepts,
            on,
            test=test,
            head=head,
            necs=numbers(nec, int, "--nec"),
            workspace=open_workspace(workspace),
            device=device,
            seed=seed,
            progress=progress,
        )
    print_result(result, json)


@cli.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Id of a concept model, or the folder of a bundle.")],
    on: Annotated[str, typer.Option(help="Embedding set.")],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Every metric that applies to a model on an embedding set."""
    from cbm import verbs

    print_result(verbs.evaluate(model, on, workspace=open_workspace(workspace)), json)


@cli.command()
def explain(
    model: Annotated[str, typer.Argument(help="Id of a concept model, or the folder of a bundle.")],
    item: Annotated[str, typer.Argument(help="A picture's file, or an item or row number of --on.")],
    on: Annotated[str | None, typer.Option(help="Embedding set that holds the item; the model's test set when absent.")] = None,
    target: Annotated[str | None, typer.Option(help="Class to explain; the predicted one when absent.")] = None,
    top: Annotated[int, typer.Option(min=0, help="Contributions to list.")] = 10,
    pretrained: Annotated[
        str | None, typer.Option(help="Checkpoint file of the model's backbone, where it was embedded with one; for a picture's file.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """The prediction of one image, and the concepts it comes from."""
    from cbm import verbs

    result = verbs.explain(
        model, item, on=on, target=target, top=top, pretrained=pretrained, workspace=open_workspace(workspace), device=device
    )
    print_result(result, json)


@cli.command()
def edit(
    model: Annotated[str, typer.Argument(help="Id of a concept model.")],
    recipe: Annotated[Path, typer.Option(help="JSON file of edits; see docs/edits.md.")],
    on: Annotated[str | None, typer.Option(help="Held-out embedding set to measure on; the model's test set when absent.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Put the recipe in the place of the model's own edits.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Apply a recipe to a model and measure what it changes on held-out data."""
    from cbm import verbs

    print_result(verbs.edit(model, recipe, on=on, replace=replace, workspace=open_workspace(workspace)), json)


@cli.command()
def export(
    model: Annotated[str, typer.Argument(help="Id of a concept model.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write.")],
    format: Annotated[str, typer.Option(help="Any of bundle, onnx, saelens.")] = "bundle,onnx,saelens",
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Write a model as a bundle that works without this project."""
    from cbm import verbs

    formats = tuple(part.strip() for part in format.split(",") if part.strip())
    print_result(verbs.export(model, folder, formats=formats, workspace=open_workspace(workspace)), json)


@cli.command()
def load(
    bundle: Annotated[Path, typer.Argument(help="Folder of an exported bundle, or a .zip of it.")],
    on: Annotated[
        str | None, typer.Option(help="Embedding set to show and measure it with; its own test set when absent and here.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Take an exported bundle into the workspace."""
    from cbm import verbs

    print_result(verbs.import_bundle(bundle, on=on, workspace=open_workspace(workspace)), json)
