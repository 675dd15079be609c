"""The steps that lead to a model, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Given:
    """A constant at the top of the script: something that lies outside the workspace."""

    name: str
    value: str | None
    """None where nobody recorded it."""
    comment: str


@dataclass(frozen=True)
class File:
    """A JSON file that the script writes itself."""

    name: str
    text: str

    @property
    def constant(self) -> str:
        return self.name.removesuffix(".json").upper()


@dataclass(frozen=True)
class Made:
    """An argument that is the id of an artefact which an earlier step makes."""

    artifact: str


@dataclass(frozen=True)
class Step:
    """One call of a verb."""

    verb: str
    variable: str
    result: str
    """Field of the verb's result that holds the id."""
    makes: str
    arguments: tuple[Any, ...]
    """Plain values, `Given`, `File`, `Made`, or lists of them."""
    options: Mapping[str, Any]


@dataclass
class Plan:
    """Steps in their order, and what they need."""

    steps: list[Step] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    files: list[File] = field(default_factory=list)

    def variable(self, artifact: str) -> str:
        return next(step.variable for step in self.steps if step.makes == artifact)

    def makes(self, artifact: str) -> bool:
        return any(step.makes == artifact for step in self.steps)
