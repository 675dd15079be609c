"""What `cbm.registry.METRICS` holds: figures of a model on a set of images, each computed from plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes
from cbm.registry import Part

if TYPE_CHECKING:
    from cbm.metrics.classification import GroupAccuracy
    from cbm.metrics.truth import TruthMatch


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A concept model beside labelled images, as metrics see it."""

    bottleneck: Bottleneck
    embeddings: Float32[np.ndarray, "rows dim"]
    codes: Codes
    weight: Float32[np.ndarray, "classes concepts"]
    """Of the head, with all edits."""
    names: tuple[str, ...]
    """Of the concepts, as they are shown."""
    named: Bool[np.ndarray, " concepts"]
    """Whether a concept has a name of the vocabulary."""
    class_of_name: Int[np.ndarray, " concepts"]
    """The class whose name a concept has; -1 for none."""
    classes: tuple[str, ...]
    predicted: Int[np.ndarray, " rows"]
    labels: Int[np.ndarray, " rows"]
    """-1 where it is unknown, or not among `classes`."""
    groups: tuple[str, ...]
    group_of: Int[np.ndarray, " rows"]
    """-1 for none."""
    known_concepts: tuple[str, ...]
    """Concepts whose presence in each image is known; empty for most sets."""
    truth: Bool[np.ndarray, "rows known"]
    bias: Float32[np.ndarray, " classes"] | None = None
    """Of the head, with all edits; zeros when absent."""
    linear_probe: float | None = None
    """Accuracy of a linear probe on these very images; None where it was not measured on them."""

    @cached_property
    def labelled(self) -> Bool[np.ndarray, " rows"]:
        return self.labels >= 0

    @property
    def has_labels(self) -> bool:
        return bool(self.labelled.any())

    @cached_property
    def by_group(self) -> GroupAccuracy | None:
        """None where no labelled image belongs to a group."""
        from cbm.metrics.classification import group_accuracy

        rows = self.labelled
        if not (self.group_of[rows] >= 0).any():
            return None
        return group_accuracy(self.predicted[rows], self.labels[rows], self.group_of[rows], len(self.groups))

    @cached_property
    def known_match(self) -> TruthMatch:
        """The best latent of every known concept that some images have and others lack."""
        from cbm.metrics.truth import match_known_concepts

        return match_known_concepts(self.codes, self.truth, self.known_concepts)

    @cached_property
    def discovered(self) -> DiscoveredConcepts | None:
        """Labelled images in terms of the known concepts that were discovered; None where there are none of either.

        A latent that is the best of several known concepts counts for the one that it separates best.
        """
        varying = np.flatnonzero(self.truth.any(axis=0) & ~self.truth.all(axis=0))
        rows = np.flatnonzero(self.labelled)
        if not len(varying) or not len(rows):
            return None
        match = self.known_match
        best_first = np.argsort(-match.auc, kind="stable")
        _, first = np.unique(match.latents[best_first], return_index=True)
        places = np.sort(best_first[first])
        places = places[match.discovered[places]]
        if not len(places):
            return None
        latents = match.latents[places]
        return DiscoveredConcepts(
            rows=rows,
            latents=latents,
            activations=self.codes.to_csr()[rows][:, latents].toarray(),
            truth=self.truth[rows][:, varying[places]],
            weight=np.ascontiguousarray(self.weight[:, latents]),
        )


@dataclass(frozen=True, eq=False)
class DiscoveredConcepts:
    """Known concepts that one latent each separates well, on the labelled images; dense, as known concepts are few."""

    rows: Int[np.ndarray, " labelled"]
    latents: Int[np.ndarray, " discovered"]
    activations: Float32[np.ndarray, "labelled discovered"]
    truth: Bool[np.ndarray, "labelled discovered"]
    weight: Float32[np.ndarray, "classes discovered"]


@dataclass(frozen=True, kw_only=True)
class MetricPart(Part):
    """Figures that belong together."""

    label: str
    needs: str = ""
    """What the images must have, in words: `labels`; empty where it applies always."""
    applies: Callable[[Evaluation], bool] = lambda _: True
    measure: Callable[[Evaluation, Any], Mapping[str, Any]]
    """Figures by name, as JSON can hold them."""
    words: Mapping[str, str] = field(default_factory=dict)
    """What reports call the figures, numbers all, that a reader should see; those that are not in here are for programs."""


def measure_all(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of every registered metric that applies."""
    from cbm.registry import METRICS

    figures: dict[str, Any] = {}
    for part in METRICS:
        if part.applies(evaluation):
            figures |= part.measure(evaluation, part.settings())
    return figures
