"""Parts by name: dictionaries, bottlenecks and their methods, naming rules, heads, metrics, sources and verbs.

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
    from cbm.bottlenecks.part import MethodPart
    from cbm.core.bottleneck import Bottleneck
    from cbm.dictionaries.part import DictionaryPart
    from cbm.heads.part import HeadPart
    from cbm.images.sources import SourcePart
    from cbm.metrics.part import MetricPart
    from cbm.names.part import RulePart
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


@dataclass(frozen=True)
class NoSettings:
    """Of a part without settings."""


P = TypeVar("P")


class Registry(Generic[P]):
    """The parts of one kind.

    Args:
        kind: what a part is called in messages, such as "dictionary variant".
        places: name -> "module:attribute" of the part.
    """

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        self.kind = kind
        self.places: Mapping[str, str] = dict(places)
        self._loaded: dict[str, P] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their lines, which is the order in which menus offer them."""
        return tuple(dict.fromkeys((*self.places, *self._loaded)))

    def __contains__(self, name: str) -> bool:
        return name in self.places or name in self._loaded

    def __iter__(self) -> Iterator[P]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> P:
        """The part of this name, imported at the first question.

        Raises:
            InvalidInputError: there is none; the message lists those there are.
        """
        if name not in self._loaded:
            if name not in self.places:
                raise InvalidInputError(f"Unknown {self.kind} {name!r}; choose one of {', '.join(self.names)}.")
            module, _, attribute = self.places[name].partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]

    def add(self, name: str, part: P) -> None:
        """Register a part at run time: a plug-in, or a test's."""
        self._loaded[name] = part

    def discard(self, name: str) -> None:
        """Take a part back that was added at run time."""
        self._loaded.pop(name, None)


DICTIONARIES: Registry[DictionaryPart] = Registry(
    "variant",
    {
        "batchtopk": "cbm.dictionaries.batchtopk:PART",
        "topk": "cbm.dictionaries.topk:PART",
        "relu-l1": "cbm.dictionaries.relu_l1:PART",
        "dn-cbm": "cbm.dictionaries.dn_cbm:PART",
        "kmeans": "cbm.dictionaries.kmeans:PART",
        "pca": "cbm.dictionaries.pca:PART",
        "random": "cbm.dictionaries.random:PART",
        "neurons": "cbm.dictionaries.neurons:PART",
    },
)

BOTTLENECKS: Registry[type[Bottleneck]] = Registry(
    "kind of bottleneck",
    {
        "jumprelu": "cbm.dictionaries.jumprelu:JumpReluDictionary",
        "topk": "cbm.dictionaries.topk_dictionary:TopKDictionary",
        "kmeans": "cbm.dictionaries.clusters:KMeansDictionary",
        "pca": "cbm.dictionaries.linear:PcaDictionary",
        "random": "cbm.dictionaries.jumprelu:RandomDictionary",
        "neurons": "cbm.dictionaries.linear:NeuronDictionary",
        "linear": "cbm.bottlenecks.linear:LinearConcepts",
        "splice": "cbm.bottlenecks.sparse_words:SparseWords",
    },
)
"""The classes that a stored bottleneck may be of; what `DICTIONARIES` and `METHODS` learn ends as one of these."""

METHODS: Registry[MethodPart] = Registry(
    "method",
    {
        "words": "cbm.bottlenecks.words:PART",
        "posthoc": "cbm.bottlenecks.posthoc:PART",
        "label-free": "cbm.bottlenecks.label_free:PART",
        "splice": "cbm.bottlenecks.splice:PART",
        "z-cbm": "cbm.bottlenecks.z_cbm:PART",
    },
)
"""Ways to make a bottleneck whose concepts have names from the start."""

HEADS: Registry[HeadPart] = Registry(
    "head",
    {
        "sparse": "cbm.heads.sparse:PART",
        "dense": "cbm.heads.dense:PART",
        "dn-cbm": "cbm.heads.dn_cbm:PART",
        "elastic-net": "cbm.heads.elastic_net:PART",
        "association": "cbm.heads.association:PART",
        "signs": "cbm.heads.signs:PART",
        "gated": "cbm.heads.gated:PART",
        "closed-form": "cbm.heads.closed_form:PART",
    },
)

RULES: Registry[RulePart] = Registry(
    "naming rule",
    {
        "combined": "cbm.names.combined:PART",
        "centred": "cbm.names.centred:PART",
        "soft-wpmi": "cbm.names.soft_wpmi:PART",
        "cosine": "cbm.names.cosine:PART",
    },
)

METRICS: Registry[MetricPart] = Registry(
    "metric",
    {
        "sizes": "cbm.metrics.evaluations:SIZES",
        "reconstruction": "cbm.metrics.evaluations:RECONSTRUCTION",
        "accuracy": "cbm.metrics.evaluations:ACCURACY",
        "groups": "cbm.metrics.evaluations:GROUPS",
        "class-names": "cbm.metrics.evaluations:CLASS_NAMES",
        "known-concepts": "cbm.metrics.evaluations:KNOWN_CONCEPTS",
        "efficiency": "cbm.metrics.concept_evaluations:EFFICIENCY",
        "permuted-names": "cbm.metrics.concept_evaluations:PERMUTED_NAMES",
        "monosemanticity": "cbm.metrics.concept_evaluations:MONOSEMANTICITY",
        "one-latent-probes": "cbm.metrics.concept_evaluations:ONE_LATENT_PROBES",
        "grounding": "cbm.metrics.concept_evaluations:GROUNDING",
        "leakage": "cbm.metrics.concept_evaluations:LEAKAGE",
        "interventions": "cbm.metrics.concept_evaluations:INTERVENTIONS",
    },
)

SOURCES: Registry[SourcePart] = Registry(
    "source of images",
    {
        "scenes": "cbm.images.sources:SCENES",
        "folder": "cbm.images.sources:FOLDER",
        "table": "cbm.images.sources:TABLE",
        "archive": "cbm.images.sources:ARCHIVE",
    },
)

VERBS: Registry[Verb[..., Any]] = Registry(
    "verb",
    {
        "demo": "cbm.demo.pipeline:demo",
        "embed": "cbm.verbs.embed:embed",
        "import_vectors": "cbm.verbs.import_vectors:import_vectors",
        "vocabulary": "cbm.verbs.vocabulary:vocabulary",
        "discover": "cbm.verbs.discover:discover",
        "sweep": "cbm.verbs.sweep:sweep",
        "load_dictionary": "cbm.verbs.load_dictionary:load_dictionary",
        "name": "cbm.verbs.name:name",
        "bottleneck": "cbm.verbs.bottleneck:bottleneck",
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

LISTS: tuple[Registry[Any], ...] = (SOURCES, DICTIONARIES, RULES, METHODS, BOTTLENECKS, HEADS, METRICS)
"""All but the verbs, in the order in which the pipeline uses them."""
