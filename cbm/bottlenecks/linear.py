"""Linear concept scores: what methods share that give every concept one direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.arrays import unit_rows
from cbm.core.bottleneck import Abilities, Bottleneck
from cbm.core.codes import Codes


class LinearConcepts(Bottleneck):
    """Every concept's score is linear in the embedding: `weight · x + bias`. All concepts score every image.

    Scores are meant to be standardised by whoever makes one (`standardised`), so that zero is an average image and one is a standard
    deviation: weights of a head are then comparable across concepts, and ablating a concept sets it to the average.
    """

    kind: ClassVar[str] = "linear"
    summary: ClassVar[str] = "Linear scores: every concept has a direction, and scores every image."
    abilities: ClassVar[Abilities] = Abilities(directions=True, patches=True, supervised=True, dense=True)

    def __init__(self, weight: Float32[np.ndarray, "concepts dim"], bias: Float32[np.ndarray, " concepts"], names: Sequence[str]) -> None:
        if weight.shape[0] != len(names) or bias.shape != (len(names),):
            raise ValueError(f"weight {weight.shape} and bias {bias.shape} do not fit {len(names)} names")
        self.weight, self.bias, self._names = weight, bias, tuple(names)

    @classmethod
    def standardised(
        cls,
        weight: Float[np.ndarray, "concepts dim"],
        names: Sequence[str],
        embeddings: Float[np.ndarray, "rows dim"],
    ) -> Self:
        """Scores of mean 0 and standard deviation 1 on `embeddings`; a concept that never varies there scores 0 everywhere."""
        exact = np.asarray(weight, np.float64)
        mean = embeddings.mean(axis=0, dtype=np.float64)
        covariance = np.zeros((embeddings.shape[1],) * 2)
        for start in range(0, len(embeddings), 8192):
            centred = embeddings[start : start + 8192].astype(np.float64) - mean
            covariance += centred.T @ centred
        spread = np.sqrt(np.maximum(np.einsum("cd,cd->c", exact @ (covariance / max(1, len(embeddings))), exact), 0.0))
        varies = spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-30)
        scaled = exact * np.where(varies, 1 / np.where(varies, spread, 1), 0)[:, None]
        return cls(scaled.astype(np.float32), -(scaled @ mean).astype(np.float32), names)

    @property
    def size(self) -> int:
        return len(self.weight)

    @property
    def dim(self) -> int:
        return int(self.weight.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        return unit_rows(self.weight)

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        scores = np.asarray(embeddings @ self.weight.T + self.bias, np.float32)
        indices = np.broadcast_to(np.arange(self.size, dtype=np.int32), scores.shape)
        return Codes(np.ascontiguousarray(indices), scores, self.size)

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        some = np.asarray(latents)
        parts = [np.asarray(chunk @ self.weight[some].T + self.bias[some], np.float32) for chunk in self._chunks(embeddings)]
        return np.concatenate(parts) if parts else np.zeros((0, len(some)), np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"weight": self.weight, "bias": self.bias}

    def settings(self) -> dict[str, Any]:
        return {"names": list(self._names)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(tensors["weight"], tensors["bias"], settings["names"])
