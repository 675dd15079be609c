"""Verbs that find concepts: discover, sweep, name; and the whole line, build."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cbm.cli.options import (
    BackboneOption,
    DeviceOption,
    JsonOption,
    PretrainedOption,
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
def sweep(
    embeddings: Annotated[list[str], typer.Argument(metavar="EMB…", help="Ids of one or more embedding sets.")],
    widths: Annotated[str, typer.Option(help="Numbers of latents, such as 512,1024,2048.")],
    ks: Annotated[str, typer.Option(help="Active latents of an image, such as 8,16,32.")],
    seeds: Annotated[str, typer.Option(help="Seeds, such as 0,1,2; with several, stability is measured.")] = "0",
    variant: Annotated[str, typer.Option(help="As for discover.")] = "batchtopk",
    epochs: Annotated[int | None, typer.Option(help="Passes over the embeddings; chosen by their number when absent.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Train a dictionary for every width, k and seed, and compare them; those that exist are not trained again."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.sweep(
            embeddings,
            widths=numbers(widths, int, "--widths"),
            ks=numbers(ks, int, "--ks"),
            seeds=numbers(seeds, int, "--seeds"),
            variant=variant,
            epochs=epochs,
            workspace=open_workspace(workspace),
            device=device,
            progress=progress,
        )
    print_result(result, json)


@cli.command()
def name(
    dictionary: Annotated[str, typer.Argument(help="Id of a dictionary.")],
    vocabulary: Annotated[str, typer.Option(help="Id of a vocabulary, or english, attributes, scenes, a .txt or an .npz.")],
    rule: Annotated[Literal["combined", "centred", "cosine", "soft-wpmi"], typer.Option(help="Naming rule.")] = "combined",
    on: Annotated[str | None, typer.Option(help="Embedding set whose images fire the latents; the dictionary's own when absent.")] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Give every name to one concept at most.")] = False,
    pretrained: Annotated[
        str | None, typer.Option(help="Tag or checkpoint file that encodes a list of names, where the backbone's own is not at hand.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Name the latents of a dictionary."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.name(
            dictionary,
            vocabulary,
            rule=rule,
            on=on,
            unique=unique,
            pretrained=pretrained,
            workspace=open_workspace(workspace),
            device=device,
            progress=progress,
        )
    print_result(result, json)


@cli.command()
def build(
    source: Annotated[str, typer.Argument(help="Folder, table, archive, scenes:classes?count=1000, or the id of an embedding set.")],
    backbone: BackboneOption = "demo",
    pretrained: PretrainedOption = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="english, attributes, scenes, a .txt, an .npz, or an id; by the backbone when absent.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Number of latents; by the number of images when absent.")] = None,
    k: Annotated[int | None, typer.Option(help="Active latents of an image; by the dimension when absent.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the embeddings; chosen by their number when absent.")] = None,
    nec: Annotated[str, typer.Option(help="Numbers of effective concepts per class to report.")] = "5,10,15,20,25,30",
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """The whole line at once: embed, discover, name, train; interrupted, the same command goes on where it stopped."""
    from cbm import verbs

    with progress_bar() as progress:
        result = verbs.build(
            source,
            backbone,
            pretrained,
            vocabulary=vocabulary,
            width=width,
            k=k,
            epochs=epochs,
            necs=numbers(nec, int, "--nec"),
            seed=seed,
            workspace=open_workspace(workspace),
            device=device,
            progress=progress,
        )
    print_result(result, json)
