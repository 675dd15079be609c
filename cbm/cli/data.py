"""Verbs that bring data in: demo, embed, import, vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cbm.cli.options import (
    BackboneOption,
    DeviceOption,
    JsonOption,
    PretrainedOption,
    SeedOption,
    SpaceOption,
    WorkspaceOption,
    open_workspace,
)
from cbm.cli.printing import print_result, progress_bar

cli = typer.Typer()


@cli.command()
def demo(workspace: WorkspaceOption = None, json: JsonOption = False, device: DeviceOption = "auto", seed: SeedOption = 0) -> None:
    """Run the whole pipeline on the known-answer world, offline."""
    from cbm.demo.pipeline import run

    with progress_bar() as progress:
        result = run(open_workspace(workspace), device=device, seed=seed, progress=progress)
    print_result(result, json)


@cli.command()
def embed(
    source: Annotated[str, typer.Argument(help="Folder, .csv or .parquet table, .zip or .tar archive, or scenes:classes?count=1000.")],
    backbone: BackboneOption = "demo",
    pretrained: PretrainedOption = None,
    space: SpaceOption = "l2",
    batch_size: Annotated[int | None, typer.Option(help="Images at a time; chosen by device when absent.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Encode images into the store; interrupted, the same command goes on where it stopped."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.embed(
            source,
            backbone,
            pretrained,
            space=space,
            batch_size=batch_size,
            workspace=open_workspace(workspace),
            device=device,
            progress=progress,
        )
    print_result(result, json)


@cli.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help=".npz (embeddings, labels, files), .parquet, or a clip-retrieval folder.")],
    backbone: Annotated[str, typer.Option(help="Architecture that computed the vectors, such as ViT-B-32.")],
    pretrained: Annotated[str, typer.Option(help="Tag of its weights, such as openai.")],
    images: Annotated[Path | None, typer.Option(help="Folder in which the files that the source names lie.")] = None,
    classes: Annotated[Path | None, typer.Option(help="Class names by label: .json list or .txt, one a line.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Take vectors that were computed elsewhere, with or without their pictures."""
    from cbm import verbs

    print_result(
        verbs.import_vectors(source, backbone, pretrained, images=images, classes=classes, workspace=open_workspace(workspace)), json
    )


@cli.command()
def vocabulary(
    source: Annotated[str, typer.Argument(help="english, attributes, scenes, a .txt of names, or an .npz (embeddings, names).")],
    backbone: BackboneOption = "demo",
    pretrained: PretrainedOption = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Make the candidate names with their text embeddings."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.vocabulary(source, backbone, pretrained, workspace=open_workspace(workspace), device=device, progress=progress)
    print_result(result, json)
