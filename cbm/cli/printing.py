"""How results and progress look in a terminal, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cbm.core.progress import Progress
    from cbm.verbs.base import VerbResult
    from cbm.workspace.workspace import Artifact


def artifact_record(artifact: Artifact) -> dict[str, Any]:
    """An artefact as `--json` prints it."""
    from cbm.verbs.base import plain

    return dict(plain(artifact.record()))


def dumps(record: Any) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def print_json(record: Any) -> None:
    print(dumps(record))


def print_result(result: VerbResult, as_json: bool) -> None:
    """The result as one JSON line, or for a reader as aligned lines."""
    record = result.record()
    if as_json:
        print_json(record)
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
def progress_bar() -> Iterator[Callable[[Progress], None]]:
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
