"""Dictionaries of fixed linear directions: centred projections, and the k strongest of them as codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes
from cbm.dictionaries.base import Dictionary


@dataclass(frozen=True, eq=False)
class LinearDictionary(Dictionary):
    """Codes are projections of centred embeddings on unit directions."""

    unit_directions: Float32[np.ndarray, "size dim"]
    mean: Float32[np.ndarray, " dim"]
    k: int
    """Active latents of an embedding, at most."""

    @property
    def size(self) -> int:
        return self.unit_directions.shape[0]

    @property
    def dim(self) -> int:
        return self.unit_directions.shape[1]

    @property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        return self.unit_directions

    def projections(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Float32[np.ndarray, "batch size"]:
        """Dense responses of a chunk."""
        return np.asarray((embeddings - self.mean) @ self.unit_directions.T, np.float32)

    @abstractmethod
    def _strength(self, responses: Float32[np.ndarray, "batch size"]) -> Float32[np.ndarray, "batch size"]:
        """By what the k active latents are chosen."""

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        responses = self.projections(embeddings)
        k = min(self.k, self.size)
        if k == 0:
            return Codes(np.zeros((len(embeddings), 1), np.int32), np.zeros((len(embeddings), 1), np.float32), self.size)
        strength = self._strength(responses)
        chosen = np.sort(np.argpartition(strength, self.size - k, axis=1)[:, self.size - k :], axis=1)
        positive = np.take_along_axis(strength, chosen, axis=1) > 0
        values = np.where(positive, np.take_along_axis(responses, chosen, axis=1), np.float32(0))
        return Codes(np.where(positive, chosen, 0).astype(np.int32), values.astype(np.float32), self.size)

    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        return np.asarray(codes.to_csr() @ self.unit_directions + self.mean, np.float32)

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        chosen = self.unit_directions[np.asarray(latents)]
        parts = [np.asarray((chunk - self.mean) @ chosen.T, np.float32) for chunk in self._chunks(embeddings)]
        return np.concatenate(parts) if parts else np.zeros((0, len(chosen)), np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"directions": self.unit_directions, "mean": self.mean}

    def settings(self) -> dict[str, Any]:
        return {"k": self.k}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(tensors["directions"], tensors["mean"], int(settings["k"]))


class PcaDictionary(LinearDictionary):
    """The k projections of greatest magnitude, with their sign, among the principal components."""

    kind: ClassVar[str] = "pca"
    summary: ClassVar[str] = "Principal components: the k strongest projections, with their sign."

    @classmethod
    def learn(cls, embeddings: Float[np.ndarray, "count dim"], *, k: int, components: int | None = None) -> Self:
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


class NeuronDictionary(LinearDictionary):
    """The k centred coordinates of greatest magnitude, with their sign."""

    kind: ClassVar[str] = "neurons"
    summary: ClassVar[str] = "Embedding dimensions: the k strongest, with their sign."

    @classmethod
    def learn(cls, embeddings: Float[np.ndarray, "count dim"], *, k: int) -> Self:
        dim = embeddings.shape[1]
        return cls(np.eye(dim, dtype=np.float32), embeddings.mean(axis=0, dtype=np.float64).astype(np.float32), k)

    def _strength(self, responses: Float32[np.ndarray, "batch size"]) -> Float32[np.ndarray, "batch size"]:
        return np.abs(responses)


class RandomProjections(LinearDictionary):
    """The k largest projections on random directions, where they are positive.

    Exactly k of them in a row, unlike `cbm.dictionaries.random`: a head on these differs from one on concepts in the directions alone.
    """

    kind: ClassVar[str] = "random-projections"
    summary: ClassVar[str] = "Random directions: the k largest projections, where they are positive."

    @classmethod
    def draw(cls, embeddings: Float[np.ndarray, "count dim"], *, size: int, k: int, seed: int) -> Self:
        """`size` directions uniform on the sphere, centred on the mean of `embeddings`."""
        directions = unit_rows(np.random.default_rng(seed).standard_normal((size, embeddings.shape[1])).astype(np.float32))
        return cls(directions, embeddings.mean(axis=0, dtype=np.float64).astype(np.float32), min(k, size))

    def _strength(self, responses: Float32[np.ndarray, "batch size"]) -> Float32[np.ndarray, "batch size"]:
        return responses
