"""Cluster centres as a dictionary: one concept per embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.dictionaries.base import Dictionary


class KMeansDictionary(Dictionary):
    """The nearest centre is active, with its distance from the mean as activation, so that the reconstruction is the centre itself."""

    kind: ClassVar[str] = "kmeans"
    summary: ClassVar[str] = "Clusters: an image has the concept of its nearest centre."

    def __init__(self, centres: Float32[np.ndarray, "size dim"], mean: Float32[np.ndarray, " dim"]) -> None:
        self.centres, self.mean = centres, mean
        self._directions = unit_rows(centres - mean)
        self._lengths = np.linalg.norm(centres - mean, axis=1).astype(np.float32)

    @classmethod
    def learn(cls, embeddings: Float[np.ndarray, "count dim"], *, size: int, seed: int = 0, iterations: int = 20) -> Self:
        """Lloyd's algorithm (faiss) from embeddings drawn at random.

        Against scikit-learn's mini-batches on 7,649 embeddings of ViT-B/32, 2048 clusters: 5 seconds instead of 57, and an FVU of 0.302
        instead of 0.318 on the rows that it learns from.

        Raises:
            InvalidInputError: more clusters than embeddings.
        """
        import faiss

        if size > len(embeddings):
            raise InvalidInputError(f"k-means of {size} clusters needs as many embeddings, not {len(embeddings)}; ask for fewer clusters.")
        rows = np.ascontiguousarray(embeddings, np.float32)
        # It warns below 39 embeddings per cluster, which a baseline for small sets always has.
        model = faiss.Kmeans(rows.shape[1], size, niter=iterations, seed=seed, min_points_per_centroid=1)
        model.train(rows)
        mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(np.asarray(model.centroids, np.float32).reshape(size, -1), mean)

    @property
    def size(self) -> int:
        return self.centres.shape[0]

    @property
    def dim(self) -> int:
        return self.centres.shape[1]

    @property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        return self._directions

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        centred = embeddings - self.mean
        # ‖x - c‖² without ‖x‖², which is the same for every centre.
        distances = np.square(self._lengths) - 2 * (centred @ (self.centres - self.mean).T)
        nearest = distances.argmin(axis=1)
        return Codes(nearest[:, None].astype(np.int32), self._lengths[nearest][:, None], self.size)

    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        return np.asarray(codes.to_csr() @ self._directions + self.mean, np.float32)

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        chosen = self._directions[np.asarray(latents)]
        parts = [np.asarray((chunk - self.mean) @ chosen.T, np.float32) for chunk in self._chunks(embeddings)]
        return np.concatenate(parts) if parts else np.zeros((0, len(chosen)), np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"centres": self.centres, "mean": self.mean}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(tensors["centres"], tensors["mean"])
