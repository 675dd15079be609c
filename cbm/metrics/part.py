"""What `cbm.registry.METRICS` holds: figures of a model on a set of images, each computed from plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int

from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes
from cbm.registry import Part

if TYPE_CHECKING:
    from cbm.metrics.classification import GroupAccuracy


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


@dataclass(frozen=True, kw_only=True)
class MetricPart(Part):
    """Figures that belong together."""

    label: str
    needs: str = ""
    """What the images must have, in words: `labels`; empty where it applies always."""
    applies: Callable[[Evaluation], bool] = lambda _: True
    measure: Callable[[Evaluation, Any], Mapping[str, Any]]
    """Figures by name, as JSON can hold them."""


def measure_all(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of every registered metric that applies."""
    from cbm.registry import METRICS

    figures: dict[str, Any] = {}
    for part in METRICS:
        if part.applies(evaluation):
            figures |= part.measure(evaluation, part.settings())
    return figures
