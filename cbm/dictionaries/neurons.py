"""The embedding's own coordinates as concepts: the baseline that has learned nothing."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32

from cbm.dictionaries.linear import LinearDictionary


class NeuronDictionary(LinearDictionary):
    """The k centred coordinates of greatest magnitude, with their sign."""

    kind: ClassVar[str] = "neurons"

    @classmethod
    def fit(cls, embeddings: Float[np.ndarray, "count dim"], *, k: int) -> Self:
        dim = embeddings.shape[1]
        return cls(np.eye(dim, dtype=np.float32), embeddings.mean(axis=0, dtype=np.float64).astype(np.float32), k)

    def _strength(self, responses: Float32[np.ndarray, "batch size"]) -> Float32[np.ndarray, "batch size"]:
        return np.abs(responses)
