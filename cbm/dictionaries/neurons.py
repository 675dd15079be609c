"""The embedding's own coordinates as concepts: the baseline that has learned nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.dictionaries.part import DictionaryPart, DictionarySettings, FittedDictionary

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class NeuronSettings(DictionarySettings):
    width: Annotated[int | None, Range(1)] = None
    """Without effect: there are as many latents as the embedding has dimensions."""


def fit(rows: np.ndarray, settings: NeuronSettings, run: Run) -> FittedDictionary:
    from cbm.dictionaries.linear import NeuronDictionary

    return FittedDictionary(NeuronDictionary.learn(rows, k=settings.k))


PART = DictionaryPart(
    "neurons",
    "Baseline: the dimensions of the embedding themselves, each in both directions.",
    NeuronSettings,
    label="Embedding dimensions",
    fit=fit,
    fixed_width=True,
)
