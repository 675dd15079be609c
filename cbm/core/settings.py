"""What a settings dataclass says of its fields: type, default, range, and the help text that is the docstring under each field.

The command line, the forms, the jobs, the hosted limits and the docs are derived from this; none of them repeats a default or a help text.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
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
    figures would be taken for those of that value.

    Args:
        what: what the settings belong to, for messages: "the variant kmeans".

    Raises:
        InvalidInputError: an unknown name, a missing one, a value outside its choices or range.
    """
    fields = {field.name: field for field in settings_fields(settings)}
    given = {name: value for name, value in values.items() if value is not None or (name in fields and fields[name].optional)}
    unknown = [name for name in given if name not in fields]
    if unknown:
        raise InvalidInputError(f"{what[:1].upper()}{what[1:]} takes no {', '.join(unknown)}; leave it out.")
    missing = [field.name for field in fields.values() if field.required and field.name not in given]
    if missing:
        raise InvalidInputError(f"{what[:1].upper()}{what[1:]} needs {', '.join(missing)}.")
    return settings(**{name: _checked(fields[name], value, what) for name, value in given.items()})


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
    choices: tuple[str, ...] = ()
    item = get_args(hint)[0] if get_origin(hint) is tuple else hint
    if get_origin(item) is Literal:
        choices = get_args(item)
        hint = tuple[type(choices[0]), ...] if item is not hint else type(choices[0])  # type: ignore[misc]
    choices = next((extra.names for extra in extras if isinstance(extra, Names)), choices)
    limits = next((extra for extra in extras if isinstance(extra, Range)), ANY)
    return Field(field.name, hint, default, help_text, optional, tuple(choices), limits)


@lru_cache(maxsize=256)
def _hints(settings: Any) -> Mapping[str, Any]:
    if not dataclasses.is_dataclass(settings):
        raise TypeError(f"{settings.__name__} is no dataclass")
    return get_type_hints(settings, include_extras=True)


@lru_cache(maxsize=256)
def _helps(settings: Any) -> Mapping[str, str]:
    """The strings that follow the annotated names of a class body; those of a base class count unless they are said anew."""
    found: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if "__dataclass_fields__" not in vars(base):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for statement, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[statement.target.id] = " ".join(after.value.value.split())
    return found
