"""The command line: one verb per stage, thin over `cbm.verbs`."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cbm.errors import CbmError, InvalidInputError

if TYPE_CHECKING:
    from cbm.progress import Progress
    from cbm.verbs.results import VerbResult
    from cbm.workspace import Artifact, Workspace

cli = typer.Typer(
    name="cbm",
    help="Discover, name, train, edit and export concept bottleneck models on frozen CLIP embeddings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

WorkspaceOption = Annotated[
    Path | None, typer.Option("--workspace", envvar="CBM_WORKSPACE", help="Folder of all artefacts.", show_default="data/workspace")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
SeedOption = Annotated[int, typer.Option(help="Seed of everything random.")]
BackboneOption = Annotated[str, typer.Option(help="demo, an open_clip architecture such as ViT-B-32, or a model configuration.")]
PretrainedOption = Annotated[str | None, typer.Option(help="open_clip tag, or a checkpoint file (.safetensors, .pt).")]
SpaceOption = Annotated[Literal["l2", "raw"], typer.Option(help="l2 (unit length) or raw.")]

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Entry of `cbm`: errors that a user can mend are printed without a traceback, with exit status 2."""
    try:
        cli()
    except CbmError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_BAD_INPUT) from error
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        place = f": {error.filename}" if error.filename else ""
        print(f"Error: {error.strerror}{place}. Check the name, that you may write there, and that the disk has room.", file=sys.stderr)
        raise SystemExit(EXIT_BAD_INPUT) from error
    except SystemExit as stop:
        # This is what typer makes of Ctrl-C, without a word.
        if stop.code == EXIT_INTERRUPTED:
            print("Stopped. What was finished is kept; the same command goes on from there.", file=sys.stderr)
        raise


@cli.command()
def demo(workspace: WorkspaceOption = None, json: JsonOption = False, device: DeviceOption = "auto", seed: SeedOption = 0) -> None:
    """Run the whole pipeline on the known-answer world, offline."""
    from cbm.demo import run

    with _progress() as progress:
        result = run(_workspace(workspace), device=device, seed=seed, progress=progress)
    _print(result, json)


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

    with _progress() as progress:
        result = verbs.embed(
            source,
            backbone,
            pretrained,
            space=space,
            batch_size=batch_size,
            workspace=_workspace(workspace),
            device=device,
            progress=progress,
        )
    _print(result, json)


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

    _print(verbs.import_vectors(source, backbone, pretrained, images=images, classes=classes, workspace=_workspace(workspace)), json)


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

    with _progress() as progress:
        result = verbs.vocabulary(source, backbone, pretrained, workspace=_workspace(workspace), device=device, progress=progress)
    _print(result, json)


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

    groups = tuple(_numbers(matryoshka, float, "--matryoshka")) if matryoshka else None
    with _progress() as progress:
        result = verbs.discover(
            embeddings,
            variant=variant,
            width=width,
            k=k,
            epochs=epochs,
            matryoshka=groups,
            learning_rate=learning_rate,
            workspace=_workspace(workspace),
            device=device,
            seed=seed,
            progress=progress,
        )
    _print(result, json)


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

    with _progress() as progress:
        result = verbs.name(dictionary, vocabulary, rule=rule, on=on, unique=unique, workspace=_workspace(workspace), progress=progress)
    _print(result, json)


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

    with _progress() as progress:
        result = verbs.train(
            concepts,
            on,
            test=test,
            head=head,
            necs=_numbers(nec, int, "--nec"),
            workspace=_workspace(workspace),
            device=device,
            seed=seed,
            progress=progress,
        )
    _print(result, json)


@cli.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Id of a concept model, or the folder of a bundle.")],
    on: Annotated[str, typer.Option(help="Embedding set.")],
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Every metric that applies to a model on an embedding set."""
    from cbm import verbs

    _print(verbs.evaluate(model, on, workspace=_workspace(workspace)), json)


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
        model, item, on=on, target=target, top=top, pretrained=pretrained, workspace=_workspace(workspace), device=device
    )
    _print(result, json)


@cli.command()
def edit(
    model: Annotated[str, typer.Argument(help="Id of a concept model.")],
    recipe: Annotated[Path, typer.Option(help="JSON file of edits; see docs/edits.md.")],
    on: Annotated[str | None, typer.Option(help="Held-out embedding set to measure on; the model's test set when absent.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Apply a recipe to a model and measure what it changes on held-out data."""
    from cbm import verbs

    _print(verbs.edit(model, recipe, on=on, workspace=_workspace(workspace)), json)


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
    _print(verbs.export(model, folder, formats=formats, workspace=_workspace(workspace)), json)


@cli.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="embeddings, vocabulary, dictionary, concepts or model.")] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """The artefacts of the workspace, oldest first."""
    from cbm.workspace import KINDS

    if kind is not None and kind not in KINDS:
        raise InvalidInputError(f"Unknown kind {kind!r}; kinds are {', '.join(KINDS)}.")
    home = _workspace(workspace)
    artifacts = home.list(kind)
    for error in home.damaged():
        print(f"Damaged: {error}", file=sys.stderr)
    if json:
        _print_json({"artifacts": [_artifact_record(artifact) for artifact in artifacts]})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("id", "created", "made from", box=None)
    for artifact in artifacts:
        table.add_row(artifact.id, artifact.created[:19], ", ".join(artifact.parents))
    Console().print(table if artifacts else "Nothing here yet. Begin with: cbm demo")


@cli.command()
def show(identifier: Annotated[str, typer.Argument(metavar="ID")], workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """One artefact: what made it, and its figures."""
    record = _artifact_record(_workspace(workspace).get(identifier))
    if json:
        _print_json(record)
    else:
        from rich.console import Console

        Console().print_json(_dumps(record))


@cli.command()
def remove(identifier: Annotated[str, typer.Argument(metavar="ID")], workspace: WorkspaceOption = None, json: JsonOption = False) -> None:
    """Delete one artefact from which nothing else was made."""
    home = _workspace(workspace)
    removed = home.get(identifier).id
    home.remove(removed)
    if json:
        _print_json({"removed": removed})
    else:
        print(f"Removed {removed}")


@cli.command()
def app(
    workspace: WorkspaceOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser window.")] = True,
) -> None:
    """Open the web app."""
    from cbm.paths import APP

    if workspace is not None:
        os.environ["CBM_WORKSPACE"] = str(workspace.expanduser().absolute())
    # Streamlit reads .streamlit/config.toml, where the theme lives, from the folder it is started in.
    os.chdir(APP.parent)
    headless = "false" if open_browser and host == "localhost" and _has_display() else "true"
    options = ["--server.address", host, "--server.port", str(port), "--server.headless", headless]
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(APP), *options])


@cli.command()
def worker(workspace: WorkspaceOption = None) -> None:
    """Run the jobs that the web app or a script submits, one after another, until stopped."""
    from cbm.jobs.worker import run_worker

    run_worker(_workspace(workspace))


@cli.command()
def serve(
    backbone: BackboneOption = "demo",
    pretrained: PretrainedOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = 8700,
    device: DeviceOption = "auto",
) -> None:
    """Offer a backbone to other programs over HTTP; see docs/service.md."""
    from cbm.backbones.backbone import Backbone
    from cbm.service import server

    listening = server.listen(host, port)
    encoder = Backbone(backbone, pretrained, device=device)
    shown = f"[{host}]" if ":" in host else host
    print(f"Serving {encoder.reference} on http://{shown}:{listening.getsockname()[1]}. Stop with Ctrl-C.", flush=True)
    server.serve(encoder, listening)


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _workspace(root: Path | None) -> Workspace:
    from cbm.workspace import Workspace

    return Workspace(root)


def _numbers(text: str, convert: Callable[[str], Any], option: str) -> list[Any]:
    try:
        return [convert(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InvalidInputError(f"{option} {text!r} must be numbers with commas between them.") from error


def _artifact_record(artifact: Artifact) -> dict[str, Any]:
    from cbm.verbs.results import plain

    return {**plain(artifact), "path": str(artifact.path)}


def _dumps(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _print_json(record: Any) -> None:
    print(_dumps(record))


def _print(result: VerbResult, as_json: bool) -> None:
    """The result as one JSON line, or for a reader as aligned lines."""
    record = result.record()
    if as_json:
        _print_json(record)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for key, value in record.items():
        for label, text in _lines(key.replace("_", " "), value):
            table.add_row(Text(label), Text(text))  # a file called a[b].jpg is no markup
    Console().print(table)


def _lines(label: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _lines(f"{label} · {str(key).replace('_', ' ')}", entry)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for position, entry in enumerate(value):
            yield (label if position == 0 else "", "  ".join(f"{key} {_short(part)}" for key, part in entry.items()))
    elif isinstance(value, list) and value and isinstance(value[0], str):
        for position, entry in enumerate(value):
            yield label if position == 0 else "", entry
    else:
        yield label, ", ".join(map(_short, value)) if isinstance(value, list) else _short(value)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Starting", total=None)

        def report(progress: Progress) -> None:
            figures = "  ".join(f"{name} {value:.3g}" for name, value in progress.figures.items())
            bar.update(task, completed=progress.done, total=progress.total or None, description=f"{progress.message}  {figures}".strip())

        yield report
