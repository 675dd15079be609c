"""What the baselines with fixed linear directions share: centred projections, and the k strongest of them as codes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Float32, Int

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
