"""k-means: groups of similar images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.dictionaries.part import DictionaryPart, DictionarySettings, FittedDictionary

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class KMeansSettings(DictionarySettings):
    width: Annotated[int | None, Range(1)] = None
    """Number of clusters, at most one for each image; eight times the embedding's dimension when absent."""
    k: Annotated[int, Range(1)] = 32
    """Active latents of the other baselines that it is compared with; an image is in one cluster."""


def fit(rows: np.ndarray, settings: KMeansSettings, run: Run) -> FittedDictionary:
    from cbm.dictionaries.clusters import KMeansDictionary

    assert settings.width is not None, "settings are resolved"
    return FittedDictionary(KMeansDictionary.learn(rows, size=min(settings.width, len(rows)), seed=run.seed))


PART = DictionaryPart(
    "kmeans",
    "Baseline: groups of similar images. Every image has exactly one concept, its group.",
    KMeansSettings,
    label="k-means",
    fit=fit,
)
