"""Principal components: orthogonal, signed, and the best linear reconstruction there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.dictionaries.part import DictionaryPart, DictionarySettings, FittedDictionary

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class PcaSettings(DictionarySettings):
    width: Annotated[int | None, Range(1)] = None
    """Without effect: there are as many components as the embedding has dimensions."""


def fit(rows: np.ndarray, settings: PcaSettings, run: Run) -> FittedDictionary:
    from cbm.dictionaries.linear import PcaDictionary

    return FittedDictionary(PcaDictionary.learn(rows, k=settings.k))


PART = DictionaryPart(
    "pca",
    "Baseline: the directions along which images differ most. They explain a lot but mean little.",
    PcaSettings,
    label="PCA",
    fit=fit,
    fixed_width=True,
)
