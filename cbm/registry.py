"""Parts by name: dictionaries, bottlenecks, naming rules, heads, metrics, sources and verbs.

A part is one file and one line here. The command line, the forms, the jobs, the hosted limits, the docs' tables and the lineage are
derived from what the file says; nothing else lists the parts. A line names the module and the attribute that holds the `Part`, so that
asking which parts there are imports none of them; a part's file must be cheap to import (heavy libraries load where they are used).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cbm.core.errors import InvalidInputError

if TYPE_CHECKING:
    from cbm.verbs.base import Verb


@dataclass(frozen=True)
class Part:
    """What every kind of part says of itself; kinds add to it what their callers need."""

    name: str
    """As people type it: `batchtopk`."""
    summary: str
    """One line in the user's words."""
    settings: type[Any]
    """A frozen dataclass; the docstring under each field is its help text everywhere."""


P = TypeVar("P", bound=Part)


class Registry(Generic[P]):
    """The parts of one kind.

    Args:
        kind: what a part is called in messages, such as "dictionary variant".
        places: name -> "module:attribute" of the part.
    """

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        self.kind = kind
        self._places = dict(places)
        self._loaded: dict[str, P] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their lines, which is the order in which menus offer them."""
        return tuple(dict.fromkeys((*self._places, *self._loaded)))

    def __contains__(self, name: str) -> bool:
        return name in self._places or name in self._loaded

    def __iter__(self) -> Iterator[P]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> P:
        """The part of this name, imported at the first question.

        Raises:
            InvalidInputError: there is none; the message lists those there are.
        """
        if name not in self._loaded:
            if name not in self._places:
                raise InvalidInputError(f"Unknown {self.kind} {name!r}; choose one of {', '.join(self.names)}.")
            module, _, attribute = self._places[name].partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def add(self, part: P) -> None:
        """Register a part at run time: a plug-in, or a test's."""
        self._loaded[part.name] = part

    def discard(self, name: str) -> None:
        """Take a part back that was added at run time."""
        self._loaded.pop(name, None)


VERBS: Registry[Verb[..., Any]] = Registry(
    "verb",
    {
        "demo": "cbm.demo.pipeline:demo",
        "embed": "cbm.verbs.embed:embed",
        "import_vectors": "cbm.verbs.import_vectors:import_vectors",
        "vocabulary": "cbm.verbs.vocabulary:vocabulary",
        "discover": "cbm.verbs.discover:discover",
        "sweep": "cbm.verbs.sweep:sweep",
        "name": "cbm.verbs.name:name",
        "build": "cbm.verbs.build:build",
        "train": "cbm.verbs.train:train",
        "evaluate": "cbm.verbs.evaluate:evaluate",
        "explain": "cbm.verbs.explain:explain",
        "report": "cbm.verbs.report:report",
        "edit": "cbm.verbs.edit:edit",
        "export": "cbm.verbs.export:export",
        "import_bundle": "cbm.verbs.import_bundle:import_bundle",
    },
)
