"""Images as sums of a few words: the bottleneck that SpLiCE and Z-CBM end in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32, Int, Int64

from cbm.bottlenecks.nonnegative_lasso import Decomposition, NonNegativeLasso
from cbm.core.arrays import unit_rows
from cbm.core.bottleneck import Abilities, Bottleneck
from cbm.core.codes import Codes


class SparseWords(Bottleneck):
    """A centred image is written as a non-negative sum of few atoms, one for each word.

    Args:
        atoms: unit rows, one for each word.
        mean: mean of the unit embeddings of images; zeros where images are not to be centred.
        names: of the words.
        penalty: l of ‖z − wD‖² + l Σw, as SpLiCE counts; z has length 1.
        nearest: words that an image may use, those of highest cosine; all when None.
        length: length of a reconstructed embedding: 1, unless embeddings keep their length.
    """

    kind: ClassVar[str] = "splice"
    summary: ClassVar[str] = "Sparse words: an image is a non-negative sum of a few words of a list."
    abilities: ClassVar[Abilities] = Abilities(directions=True, decodes=True, patches=True, supervised=True)

    def __init__(
        self,
        atoms: Float32[np.ndarray, "concepts dim"],
        mean: Float32[np.ndarray, " dim"],
        names: Sequence[str],
        penalty: float,
        nearest: int | None = None,
        length: float = 1.0,
    ) -> None:
        if atoms.shape != (len(names), len(mean)):
            raise ValueError(f"atoms {atoms.shape} do not fit {len(names)} names and a mean of length {len(mean)}")
        self.atoms, self.mean, self._names = atoms, mean, tuple(names)
        self.penalty, self.nearest, self.length = penalty, nearest, length

    @property
    def size(self) -> int:
        return len(self.atoms)

    @property
    def dim(self) -> int:
        return int(self.atoms.shape[1])

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    @property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        return unit_rows(self.atoms)

    def decompose(self, embeddings: Float[np.ndarray, "batch dim"]) -> Decomposition:
        """Weights with their optimality gaps; `encode` gives the weights alone."""
        targets = self.centred(embeddings)
        return self._solver.solve(targets, self._candidates(targets))

    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        """`norm(norm(wD) + mean)`, as published, at the length of the embeddings."""
        sums = unit_rows(np.asarray(codes.to_csr() @ self.atoms, np.float32))
        return np.asarray(self.length * unit_rows(sums + self.mean), np.float32)

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        """Correlation of the centred embedding with the chosen words: what a word would explain alone, before words compete."""
        some = self.atoms[np.asarray(latents)]
        parts = [np.asarray(self.centred(chunk) @ some.T, np.float32) for chunk in self._chunks(embeddings)]
        return np.concatenate(parts) if parts else np.zeros((0, len(some)), np.float32)

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        return Codes.from_csr(self.decompose(embeddings).weights.astype(np.float32))

    @cached_property
    def _solver(self) -> NonNegativeLasso:
        # The solver halves the square.
        return NonNegativeLasso(self.atoms, self.penalty / 2)

    def centred(self, embeddings: Float[np.ndarray, "batch dim"]) -> Float32[np.ndarray, "batch dim"]:
        """What is decomposed: `norm(norm(x) − mean)`."""
        return unit_rows(unit_rows(embeddings) - self.mean)

    def _candidates(self, targets: Float32[np.ndarray, "batch dim"]) -> Int64[np.ndarray, "batch some"] | None:
        if self.nearest is None or self.nearest >= self.size:
            return None
        import faiss

        return np.asarray(faiss.knn(targets, self.atoms, self.nearest, metric=faiss.METRIC_INNER_PRODUCT)[1], np.int64)

    def tensors(self) -> dict[str, np.ndarray]:
        return {"atoms": self.atoms, "mean": self.mean}

    def settings(self) -> dict[str, Any]:
        return {"names": list(self._names), "penalty": self.penalty, "nearest": self.nearest, "length": self.length}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        stored = {key: settings[key] for key in ("names", "penalty", "nearest", "length")}
        return cls(tensors["atoms"], tensors["mean"], **stored)


def decomposition_figures(bottleneck: SparseWords, embeddings: Float[np.ndarray, "rows dim"]) -> dict[str, float]:
    """How many words an image has, how well they rebuild it (mean cosine, and the same about the mean), and the largest optimality gap."""
    found = bottleneck.decompose(embeddings)
    codes = Codes.from_csr(found.weights.astype(np.float32))
    rebuilt = [(bottleneck.decode(codes), embeddings), (codes.to_csr() @ bottleneck.atoms, bottleneck.centred(embeddings))]
    cosine, centred = (float((unit_rows(sums) * unit_rows(targets)).sum(axis=1).mean()) for sums, targets in rebuilt)
    return {
        "words_per_image": found.weights.nnz / len(embeddings),
        "cosine": cosine,
        "centred_cosine": centred,
        "optimality_gap": float(found.gap.max()),
    }
