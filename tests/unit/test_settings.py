"""Settings dataclasses describe themselves: everything that offers settings reads this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from cbm.core.errors import InvalidInputError
from cbm.core.settings import REQUIRED, Field, Range, make_settings, settings_fields
from cbm.registry import Registry

PLACES: Registry = Registry("place", {"here": "nowhere:x", "there": "nowhere:y"})


@dataclass(frozen=True)
class Base:
    width: Annotated[int | None, Range(1, 64)] = None
    """Number of latents;
    eight times the dimension when absent."""
    rate: float = 0.5
    """How fast."""


@dataclass(frozen=True)
class Derived(Base):
    name: str = ""
    rate: float = 0.25
    """How fast, of the derived."""
    reduction: Literal["mean", "sum"] = "mean"
    """Mean or sum."""
    place: Annotated[str, PLACES] = "here"
    """Where."""
    shares: tuple[float, ...] | None = None
    """Rising shares."""
    flag: bool = False
    """On or off."""


@dataclass(frozen=True)
class Needy:
    width: int
    """No default."""


def test_fields_are_plain_values_with_the_docstrings_as_help() -> None:
    assert settings_fields(Derived) == (
        Field("width", int, None, "Number of latents; eight times the dimension when absent.", optional=True, range=Range(1, 64)),
        Field("rate", float, 0.25, "How fast, of the derived."),
        Field("name", str, "", ""),
        Field("reduction", str, "mean", "Mean or sum.", choices=("mean", "sum")),
        Field("place", str, "here", "Where.", choices=("here", "there")),
        Field("shares", tuple[float, ...], None, "Rising shares.", optional=True),
        Field("flag", bool, False, "On or off."),
    )
    shares = settings_fields(Derived)[5]
    assert shares.many
    assert shares.item_type is float


def test_a_field_without_default_is_required() -> None:
    (field,) = settings_fields(Needy)
    assert field.required
    assert field.default is REQUIRED
    with pytest.raises(InvalidInputError, match="The part needy needs width"):
        make_settings(Needy, {}, "the part needy")


def test_settings_are_made_of_what_was_given() -> None:
    made = make_settings(Derived, {"width": 8, "shares": [0.5, 1.0], "name": None}, "the variant derived")
    assert made == Derived(width=8, shares=(0.5, 1.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 3}, "The variant derived takes no epochs; leave it out"),
        ({"width": 0}, "between 1 and 64"),
        ({"width": 65}, "between 1 and 64"),
        ({"reduction": "max"}, "choose one of mean, sum"),
        ({"place": "elsewhere"}, "choose one of here, there"),
    ],
)
def test_what_the_settings_do_not_take_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make_settings(Derived, values, "the variant derived")
