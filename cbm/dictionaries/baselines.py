"""What any dictionary must beat, learned and measured on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from cbm.dictionaries.base import Dictionary
from cbm.dictionaries.clusters import KMeansDictionary
from cbm.dictionaries.fixed import random_dictionary
from cbm.dictionaries.linear import NeuronDictionary, PcaDictionary
from cbm.metrics.reconstruction import ReconstructionMetrics, measure_reconstruction


@dataclass(frozen=True)
class ReconstructionRow:
    """One line of the table: a dictionary's name and its figures."""

    name: str
    metrics: ReconstructionMetrics


def baselines_table(
    train: Float[np.ndarray, "count dim"], test: Float[np.ndarray, "held_out dim"], k: int, seed: int, *, size: int | None = None
) -> tuple[ReconstructionRow, ...]:
    """What any dictionary must beat: the mean, PCA, k-means, random directions and raw neurons, learned on `train` and measured on `test`.

    Args:
        size: latents of k-means and the random dictionary; by default four times the dimension, at most half the training rows.
    """
    size = size or min(4 * train.shape[1], max(1, len(train) // 2))
    components = min(k, *train.shape)
    rows: Sequence[tuple[str, Dictionary]] = (
        ("mean", PcaDictionary.learn(train, components=1, k=0)),
        (f"pca-{components}", PcaDictionary.learn(train, components=components, k=components)),
        (f"pca-top-{k}", PcaDictionary.learn(train, k=min(k, *train.shape))),
        ("k-means", KMeansDictionary.learn(train, size=size, seed=seed)),
        ("random", random_dictionary(train, size=max(size, k), k=k, seed=seed)),
        ("neurons", NeuronDictionary.learn(train, k=min(k, train.shape[1]))),
    )
    return tuple(ReconstructionRow(name, measure_reconstruction(dictionary, test)) for name, dictionary in rows)
