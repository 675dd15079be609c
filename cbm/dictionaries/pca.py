"""Principal components as a dictionary: orthogonal, signed, and the best linear reconstruction there is."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32

from cbm.dictionaries.linear import LinearDictionary


class PcaDictionary(LinearDictionary):
    """The k projections of greatest magnitude, with their sign, among the principal components."""

    kind: ClassVar[str] = "pca"

    @classmethod
    def fit(cls, embeddings: Float[np.ndarray, "count dim"], *, k: int, components: int | None = None) -> Self:
        """Eigenvectors of the covariance, by falling variance; all of them by default.

        With `components` = `k` this is ordinary PCA; with more, each embedding chooses its own k.
        """
        count, dim = embeddings.shape
        mean = embeddings.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((dim, dim))
        for start in range(0, count, 8192):
            centred = embeddings[start : start + 8192].astype(np.float64) - mean
            covariance += centred.T @ centred
        _, vectors = np.linalg.eigh(covariance)
        kept = vectors[:, ::-1].T[: components or dim]
        # Eigenvectors have no sign of their own: the largest entry is made positive, so that the same data give the same dictionary.
        signs = np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])
        return cls(np.ascontiguousarray(kept * signs[:, None], np.float32), mean.astype(np.float32), k)

    def _strength(self, responses: Float32[np.ndarray, "batch size"]) -> Float32[np.ndarray, "batch size"]:
        return np.abs(responses)
