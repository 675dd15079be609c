"""Writes docs/parts.md, the list of all parts with their settings, from the registry. `--check` only says whether it is up to date."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cbm.core.bottleneck import Bottleneck
from cbm.core.settings import Field, settings_fields
from cbm.metrics.part import MetricPart
from cbm.registry import LISTS, Registry

PAGE = Path(__file__).with_name("parts.md")
_INTRODUCTION = """# All parts

This page is written from the registry by `python docs/make_parts.py`; [Adding a method](extending.md) shows how a part gets there.
"""


def page() -> str:
    """The whole page."""
    return "\n".join((_INTRODUCTION, *(line for parts in LISTS for line in (*_section(parts), ""))))


def _section(parts: Registry[Any]) -> Iterator[str]:
    heading = {"variant": "Dictionaries", "kind of bottleneck": "Kinds of bottleneck", "source of images": "Sources of images"}.get(
        parts.kind, f"{parts.kind[:1].upper()}{parts.kind[1:]}s"
    )
    yield from (f"## {heading}", "")
    if all(isinstance(part, type) and issubclass(part, Bottleneck) for part in parts):
        yield from ("| kind | | can |", "| --- | --- | --- |")
        for name in parts.names:
            kind = parts[name]
            abilities = [field.name for field in dataclasses.fields(kind.abilities) if getattr(kind.abilities, field.name)]
            yield f"| `{name}` | {kind.summary} | {', '.join(abilities)} |"
        return
    yield from ("| name | | |", "| --- | --- | --- |")
    for part in parts:
        needs = f" Needs {part.needs}." if isinstance(part, MetricPart) and part.needs else ""
        yield f"| `{part.name}` | {part.label} | {part.summary}{needs} |"
    yield ""
    yield from ("| setting | of | default | |", "| --- | --- | --- | --- |")
    yield from _settings(parts)


def _settings(parts: Registry[Any]) -> Iterator[str]:
    """One line for each setting; parts that share it share the line."""
    owners: dict[tuple[str, str, str], list[str]] = {}
    for part in parts:
        for field in settings_fields(part.settings):
            owners.setdefault((field.name, _default(field), field.help), []).append(part.name)
    for (name, default, text), names in owners.items():
        who = "all" if len(names) == len(parts.names) else ", ".join(f"`{owner}`" for owner in names)
        yield f"| `{name}` | {who} | {default} | {text} |"


def _default(field: Field) -> str:
    if field.required:
        return "required"
    return "" if field.default is None else f"`{field.default!r}`"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == page() else f"{PAGE} is out of date; run python docs/make_parts.py")
    PAGE.write_text(page(), encoding="utf-8")
