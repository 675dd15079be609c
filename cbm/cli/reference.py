"""docs/commands.md, written from the registry: `python -m cbm.cli.reference`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from cbm.core.settings import Field
from cbm.registry import VERBS
from cbm.verbs.base import Verb, is_argument, option_name

PAGE = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
_HEAD = """# Commands and verbs

Every stage of the pipeline is a verb: a command of `cbm`, a function of `cbm.verbs`, and, where it takes long, a job of the app. This page
is generated from their settings (`python -m cbm.cli.reference`); `cbm COMMAND --help` shows the same.

Every command takes `--workspace` (or `CBM_WORKSPACE`) and `--json`, which prints the keys listed below as one JSON object on the last
line. Commands that compute on a device take `--device`, those in which something is random `--seed`. Exit codes: 0 for success, 2 for input
that has to be mended, 130 for Ctrl-C. In Python every verb also takes `progress` and `cancelled`.
"""


def commands_page() -> str:
    """The page as Markdown."""
    rows = "\n".join(f"| [`cbm {verb.command}`](#cbm-{verb.command}) | `verbs.{verb.name}` | {verb.summary} |" for verb in VERBS)
    table = f"| command | Python | does |\n| --- | --- | --- |\n{rows}\n"
    return "\n".join([_HEAD, table, *(section for verb in VERBS for section in _section(verb))])


def _section(verb: Verb[..., Any]) -> Iterator[str]:
    offered = [field for field in verb.fields if field.help and isinstance(_shown_default(field), str)]
    arguments = " ".join(field.name.upper() for field in offered if is_argument(verb, field))
    yield f"## cbm {verb.command}\n"
    yield f"`cbm {verb.command} {arguments}`".replace(" `", "`") + f"\n\n{verb.summary}\n"
    if offered:
        yield "| setting | in Python | default | |\n| --- | --- | --- | --- |"
        for field in offered:
            option = field.name.upper() if is_argument(verb, field) else option_name(field)
            yield f"| `{option}` | `{field.name}` | {_shown_default(field)} | {_help(field)} |"
        yield ""
    keys = ", ".join(f"`{field.name}`" for field in fields(verb.result))
    takes = f" Takes {' and '.join(f'`--{name}`' for name in verb.takes)}." if verb.takes else ""
    job = "" if verb.job is None else f' Runs as a job: "{verb.job.title}".'
    yield f"JSON keys: {keys}.{takes}{job}\n"


def _help(field: Field) -> str:
    choices = f" One of {', '.join(f'`{choice}`' for choice in field.choices)}." if field.choices else ""
    return f"{field.help}{choices}".replace("|", "\\|")


def _shown_default(field: Field) -> str | None:
    """The default as people type it; None for a setting that only Python can give."""
    if field.required:
        return "required"
    if field.default is None:
        return ""
    if isinstance(field.default, tuple):
        return f"`{','.join(map(str, field.default))}`"
    return f"`{json.dumps(field.default).strip(chr(34))}`" if isinstance(field.default, str | int | float) else None


if __name__ == "__main__":
    PAGE.write_text(commands_page(), encoding="utf-8")
