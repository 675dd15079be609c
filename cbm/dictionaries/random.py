"""Random directions: what sparsity and size alone achieve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbm.core.run import Run
from cbm.dictionaries.part import DictionaryPart, DictionarySettings, FittedDictionary

if TYPE_CHECKING:
    import numpy as np


def fit(rows: np.ndarray, settings: DictionarySettings, run: Run) -> FittedDictionary:
    from cbm.dictionaries.fixed import random_dictionary

    assert settings.width is not None, "settings are resolved"
    return FittedDictionary(random_dictionary(rows, size=settings.width, k=settings.k, seed=run.seed))


PART = DictionaryPart(
    "random",
    "Baseline: nothing is learned. A method that does no better than this is worthless.",
    DictionarySettings,
    label="Random directions",
    fit=fit,
)
