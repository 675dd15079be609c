"""What a settings dataclass says of its fields: type, default, range, and the help text that is the docstring under each field.

The command line, the forms, the jobs, the hosted limits and the docs are derived from this; none of them repeats a default or a help text.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import linecache
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints, runtime_checkable

from cbm.core.errors import InvalidInputError

REQUIRED = dataclasses.MISSING
"""The default of a field that has none."""
S = TypeVar("S")


class Range(NamedTuple):
    """Least and greatest value of a number; `width: Annotated[int, Range(1)] = 4096`."""

    low: float | None = None
    high: float | None = None


ANY = Range()


@runtime_checkable
class Names(Protocol):
    """A registry beside a field's type makes its names the choices: `variant: Annotated[str, DICTIONARIES] = "batchtopk"`."""

    @property
    def names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Field:
    """One setting, as plain values."""

    name: str
    type: Any
    """`int`, `float`, `str`, `bool`, or a tuple of them such as `tuple[float, ...]`; without None and without annotations."""
    default: Any
    """`REQUIRED` where there is none."""
    help: str
    """The docstring under the field, on one line."""
    optional: bool = False
    """None is a value; the help says what it means."""
    choices: tuple[str, ...] = ()
    """The only values there are, where they are few and known."""
    range: Range = ANY
    extras: tuple[Any, ...] = dataclasses.field(default=(), compare=False)
    """What else is given beside the type in `Annotated`, for whoever knows it."""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    @property
    def many(self) -> bool:
        """Whether the value is a tuple."""
        return get_origin(self.type) is tuple

    @property
    def item_type(self) -> Any:
        """The type of one value: that of the tuple's entries where there are many."""
        return get_args(self.type)[0] if self.many else self.type


def settings_fields(settings: Any) -> tuple[Field, ...]:
    """The fields of a settings dataclass in their order, inherited ones first.

    Raises:
        TypeError: not a dataclass.
    """
    hints, helps = _hints(settings), _helps(settings)
    return tuple(_field(field, hints[field.name], helps.get(field.name, "")) for field in dataclasses.fields(settings) if field.init)


def make_settings(settings: type[S], values: Mapping[str, Any], what: str) -> S:
    """An instance of `settings` from `values` by name; None counts as a value that was not given unless the field may be None.

    Lists become tuples where the field holds one, as JSON has no tuples. A value that the settings would ignore is an error, or the
    figures would pass for those of that value.

    Args:
        what: what the settings belong to, for messages: "the variant kmeans".

    Raises:
        InvalidInputError: an unknown name, a missing one, a value outside its choices or range.
    """
    fields = {field.name: field for field in settings_fields(settings)}
    given = {name: value for name, value in values.items() if value is not None or (name in fields and fields[name].optional)}
    unknown = [name for name in given if name not in fields]
    if unknown:
        refused, taken = (", ".join(name.replace("_", "-") for name in names) for names in (unknown, fields))
        raise InvalidInputError(f"{what[:1].upper()}{what[1:]} takes no {refused}; leave it out. It takes {taken}.")
    missing = [field.name for field in fields.values() if field.required and field.name not in given]
    if missing:
        raise InvalidInputError(f"{what[:1].upper()}{what[1:]} needs {', '.join(missing)}.")
    return settings(**{name: _checked(fields[name], value, what) for name, value in given.items()})


def from_json(settings: type[S], values: Mapping[str, Any], what: str) -> S:
    """`make_settings` of values as JSON holds them: their types are checked, and nested settings and recipes are objects.

    Numbers stay as they were written, since a request's id is a digest of them. That is why neither msgspec nor pydantic does this: both
    make 1.0 of 1, and neither refuses unknown names or reads `Recipe | str | Path` without a hook for each.

    Raises:
        InvalidInputError: also where a value is of another type than its field.
    """
    fields = {field.name: field for field in settings_fields(settings)}
    read = {
        name: value if value is None or name not in fields else value_from_json(fields[name].type, value, f"{name} of {what}")
        for name, value in values.items()
    }
    return make_settings(settings, read, what)


def value_from_json(hint: Any, value: Any, what: str) -> Any:
    """One value of a request as its type has it.

    Args:
        what: for messages: "width of the verb discover".
    """
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(value_from_json(get_args(hint)[0], entry, what) for entry in value)
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in kinds:
        if isinstance(value, Mapping) and get_origin(kind) is Mapping:
            return value
        if isinstance(value, Mapping) and hasattr(kind, "from_json"):
            return kind.from_json(json.dumps(value))
        if isinstance(value, Mapping) and isinstance(kind, type) and dataclasses.is_dataclass(kind):
            return from_json(kind, value, what)
        if isinstance(kind, type) and _fits(kind, value):
            return value
    wanted = " or ".join(dict.fromkeys(_WORDS.get(get_origin(kind) or kind, "an object") for kind in kinds))
    raise InvalidInputError(f"{what[:1].upper()}{what[1:]} must be {wanted}, not {json.dumps(value, default=str)}.")


_WORDS = {str: "text", Path: "text", int: "a whole number", float: "a number", bool: "true or false", tuple: "a list"}


def _fits(kind: type[Any], value: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, str if kind is Path else kind)


def _checked(field: Field, value: Any, what: str) -> Any:
    if value is None:
        return None
    value = tuple(value) if field.many and isinstance(value, list | tuple) else value
    for entry in value if field.many else (value,):
        if field.choices and entry not in field.choices:
            raise InvalidInputError(f"Unknown {field.name} {entry!r} for {what}; choose one of {', '.join(field.choices)}.")
        low, high = field.range
        if (low is not None and entry < low) or (high is not None and entry > high):
            limits = f"at least {low}" if high is None else f"at most {high}" if low is None else f"between {low} and {high}"
            raise InvalidInputError(f"{field.name} = {entry} does not fit {what}: it must be {limits}.")
    return value


def _field(field: dataclasses.Field[Any], hint: Any, help_text: str) -> Field:
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    extras: tuple[Any, ...] = ()
    optional = False
    # Annotated and None may be nested either way: Annotated[int | None, ...] or Annotated[int, ...] | None.
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            extras += tuple(more)
        elif get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
            optional = True
            hint = Union[tuple(part for part in get_args(hint) if part is not type(None))]  # noqa: UP007 - the parts are known only here
        else:
            break
    if get_origin(hint) is Sequence:
        hint = tuple[get_args(hint)[0], ...]  # type: ignore[misc]
    choices: tuple[str, ...] = ()
    item = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if get_origin(item) is Literal:
        choices = get_args(item)
        hint = tuple[type(choices[0]), ...] if item is not hint else type(choices[0])  # type: ignore[misc]
    choices = next((extra.names for extra in extras if isinstance(extra, Names)), choices)
    limits = next((extra for extra in extras if isinstance(extra, Range)), ANY)
    return Field(field.name, hint, default, help_text, optional, tuple(choices), limits, extras)


@lru_cache(maxsize=256)
def _hints(settings: Any) -> Mapping[str, Any]:
    if not dataclasses.is_dataclass(settings):
        raise TypeError(f"{settings.__name__} is no dataclass")
    return get_type_hints(settings, include_extras=True)


@lru_cache(maxsize=256)
def _helps(settings: Any) -> Mapping[str, str]:
    """The strings that follow the annotated names of a class body; those of a base class count unless they are said again."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if "__dataclass_fields__" not in vars(base):
            continue
        try:
            body = _classes(inspect.getfile(base)).get(base.__name__) or _parsed(base)
        except (OSError, TypeError):
            # Typed into a prompt, where Python keeps no source.
            continue
        for statement, after in itertools.pairwise(body):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[statement.target.id] = " ".join(after.value.value.split())
    return found


@lru_cache(maxsize=256)
def _classes(file: str) -> Mapping[str, Sequence[ast.stmt]]:
    """The bodies of a file's classes. `inspect.getsource` parses the file once for each class, which `cbm --help` would feel."""
    tree = ast.parse("".join(linecache.getlines(file)))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


def _parsed(settings: Any) -> Sequence[ast.stmt]:
    """The body of a class that is defined inside a function."""
    body = ast.parse(textwrap.dedent(inspect.getsource(settings))).body[0]
    assert isinstance(body, ast.ClassDef)
    return body.body
