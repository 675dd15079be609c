"""Verbs that find concepts: discover, name."""

from __future__ import annotations

from typing import Annotated, Literal

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
def discover(
    embeddings: Annotated[list[str], typer.Argument(metavar="EMB…", help="Ids of one or more embedding sets.")],
    variant: Annotated[str, typer.Option(help="batchtopk, topk, relu-l1, dn-cbm, kmeans, pca, random or neurons.")] = "batchtopk",
    width: Annotated[int | None, typer.Option(help="Number of latents; eight times the dimension when absent.")] = None,
    k: Annotated[int, typer.Option(help="Active latents of an image.")] = 32,
    epochs: Annotated[int | None, typer.Option(help="Passes over the embeddings; chosen by their number when absent.")] = None,
    matryoshka: Annotated[str | None, typer.Option(help="Cumulative shares of the width, such as 0.125,0.25,0.5,1.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the optimiser; lower where there are few concepts.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train a dictionary on embeddings: the directions that become concepts."""
    from cbm import verbs

    groups = tuple(numbers(matryoshka, float, "--matryoshka")) if matryoshka else None
    with progress_bar() as progress:
        result = verbs.discover(
            embeddings,
            variant=variant,
            width=width,
            k=k,
            epochs=epochs,
            matryoshka=groups,
            learning_rate=learning_rate,
            workspace=open_workspace(workspace),
            device=device,
            seed=seed,
            progress=progress,
        )
    print_result(result, json)


@cli.command()
def name(
    dictionary: Annotated[str, typer.Argument(help="Id of a dictionary.")],
    vocabulary: Annotated[str, typer.Option(help="Id of a vocabulary.")],
    rule: Annotated[Literal["combined", "centred", "cosine", "soft-wpmi"], typer.Option(help="Naming rule.")] = "combined",
    on: Annotated[str | None, typer.Option(help="Embedding set whose images fire the latents; the dictionary's own when absent.")] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Give every name to one concept at most.")] = False,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Name the latents of a dictionary."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.name(dictionary, vocabulary, rule=rule, on=on, unique=unique, workspace=open_workspace(workspace), progress=progress)
    print_result(result, json)
