"""Commands made from the registry: a verb's settings are its arguments and options, and the docstrings of the fields their help.

typer rather than tyro, which reads dataclasses by itself: tyro starts no faster, knows no environment variables, shows None as a type
("--width {None}|INT"), explains a wrong number by every type that it tried, and takes lists apart at spaces where scripts write "5,10,15".
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from cbm.cli.options import DeviceOption, JsonOption, SeedOption, WorkspaceOption, numbers
from cbm.cli.printing import print_result, progress_bar
from cbm.core.run import Run
from cbm.core.settings import Field
from cbm.registry import VERBS, Registry
from cbm.verbs.base import Argument, PartSetting, Verb, is_argument, open_workspace, option_name

_PLAIN = (str, int, float, bool, Path)


def add_verbs(cli: typer.Typer, called: str | None = None) -> None:
    """A command for each verb of the registry; see `cbm.cli.command_line` for `called`."""
    for verb in VERBS:
        if called in (None, verb.command):
            cli.command(verb.command, help=verb.summary, epilog=_parts_help(verb))(_command(verb))
        else:
            cli.command(verb.command, help=verb.summary)(_not_called)


def _not_called() -> None:
    """Represents a command in the list of all; the one that runs has a function of its own."""
    raise AssertionError("a command ran whose options were not built")


def _command(verb: Verb[..., Any]) -> Callable[..., None]:
    offered = [field for field in verb.fields if _type(field) is not None]

    parts = verb.part_settings()

    def command(**given: Any) -> None:
        settings = {field.name: _read(field, given[field.name], is_argument(verb, field)) for field in offered}
        for name, setting in parts.items():
            if given[name] is not None:
                settings.setdefault(setting.into, {})[name] = _read(setting.field, given[name], False)
        hows = {name: given[name] for name in verb.takes}
        with progress_bar() as progress:
            request = verb.settings(**{name: value for name, value in settings.items() if value is not None})
            result = verb.function(request, open_workspace(given["workspace"]), Run(progress, **hows))
        print_result(result, given["json"])

    parameters = [_parameter(field, is_argument(verb, field)) for field in offered]
    parameters += [_parameter(_of_parts(setting), False) for setting in parts.values()]
    common = {"workspace": (WorkspaceOption, None), "json": (JsonOption, False), "device": (DeviceOption, "auto"), "seed": (SeedOption, 0)}
    for name, (annotation, default) in common.items():
        if name not in ("device", "seed") or name in verb.takes:
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _parameter(field: Field, argument: bool) -> inspect.Parameter:
    default: Any = inspect.Parameter.empty if field.required else field.default
    if argument:
        metavar = next((extra.metavar for extra in field.extras if isinstance(extra, Argument)), None)
        info: Any = typer.Argument(help=field.help, metavar=metavar)
        annotation = list[field.item_type] if field.many else _type(field)  # type: ignore[name-defined]
    else:
        low, high = field.range
        bounds: dict[str, Any] = {"min": low, "max": high} if field.item_type in (int, float) and not field.many else {}
        info = typer.Option(option_name(field), help=field.help, **bounds)
        annotation = _type(field)
        if field.many and default not in (None, inspect.Parameter.empty):
            default = _listed(default)
    if field.optional:
        annotation = annotation | None
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, info])


def _of_parts(setting: PartSetting) -> Field:
    """The setting as an option: absent, the part's own default holds, which the help tells."""
    default = setting.field.default
    told = "" if default is None or setting.field.required else f" Default: {_listed(default) if setting.field.many else default}."
    help_text = f"{setting.field.help}{told} Of {', '.join(setting.parts)}."
    return dataclasses.replace(setting.field, default=None, optional=True, help=help_text)


def _listed(values: Sequence[Any]) -> str:
    """Several values as people type them."""
    return ",".join(map(str, values))


def _type(field: Field) -> Any:
    """The type that typer reads; None for a setting that a command line cannot give."""
    if field.choices:
        return Literal[field.choices] if not field.many else str
    if field.many:
        return str
    kinds = get_args(field.type) if get_origin(field.type) in (Union, UnionType) else (field.type,)
    return next((kind for kind in _PLAIN if kind in kinds), None)


def _read(field: Field, value: Any, argument: bool) -> Any:
    if not field.many or value is None:
        return value
    if argument:
        return tuple(value)
    if field.item_type is str:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(numbers(value, field.item_type, option_name(field)))


def _parts_help(verb: Verb[..., Any]) -> str | None:
    """What can be chosen where a registry says so, with what each part does."""
    lines: list[str] = []
    for field in verb.fields:
        for registry in field.extras:
            if isinstance(registry, Registry):
                lines += [f"{option_name(field)} is one of:", *(f"  {part.name}: {part.summary}" for part in registry)]
    return "\n\n".join(lines) or None
