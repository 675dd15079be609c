"""The linear head: concept activations to class logits, always through sparse codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int
from scipy import sparse

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.metrics.classification import number_of_effective_concepts

HeadKind = Literal["dense", "sparse"]


@dataclass(frozen=True)
class LinearHead:
    """Class logits `code · weightᵀ + bias`, on raw activations: whatever scaling the fit used is folded into `weight` and `bias`."""

    weight: Float32[np.ndarray, "classes concepts"]
    bias: Float32[np.ndarray, " classes"]
    kind: HeadKind
    """Whether the weights were fitted dense or truncated to a number of effective concepts; a bundle repeats it."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """How it was fitted: solver, penalty, refit, seeds. JSON-able."""

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or self.bias.shape != (len(self.weight),):
            raise ValueError(f"weight {self.weight.shape} must be [classes, concepts] and bias {self.bias.shape} [classes]")
        if self.weight.dtype != np.float32 or self.bias.dtype != np.float32:
            raise ValueError(f"weight and bias must be float32, not {self.weight.dtype} and {self.bias.dtype}")

    @property
    def classes(self) -> int:
        return self.weight.shape[0]

    @property
    def size(self) -> int:
        return self.weight.shape[1]

    @cached_property
    def nec(self) -> float:
        """Mean number of non-zero weights per class, |w| > 0."""
        return number_of_effective_concepts(self.weight)

    @cached_property
    def _weight_by_concept(self) -> torch.Tensor:
        """[concepts, classes]: the layout in which a code gathers whole rows."""
        return torch.from_numpy(np.ascontiguousarray(self.weight.T))

    def logits(self, codes: Codes) -> Float32[np.ndarray, "batch classes"]:
        """Class logits of `codes`, without ever forming the dense [batch, concepts] matrix.

        Raises MismatchError where the codes are over another number of concepts than the head.
        """
        if codes.size != self.size:
            raise MismatchError(
                f"codes over {codes.size} concepts do not fit a head over {self.size}: use the dictionary it was trained on"
            )
        if len(codes) == 0:
            return np.zeros((0, self.classes), np.float32)
        gathered = F.embedding_bag(
            torch.from_numpy(np.ascontiguousarray(codes.indices)),
            self._weight_by_concept,
            per_sample_weights=torch.from_numpy(np.ascontiguousarray(codes.values)),
            mode="sum",
        )
        return gathered.numpy() + self.bias

    def predict(self, codes: Codes) -> Int[np.ndarray, " batch"]:
        """Class with the largest logit; ties go to the lower class."""
        return self.logits(codes).argmax(axis=1)


def as_csr(codes: Codes | sparse.csr_matrix) -> sparse.csr_matrix:
    """Compressed rows [batch, concepts], from codes (without stored zeros) or from a matrix that is one already.

    Raises InvalidInputError where an activation is not finite: no solver comes to an end on those.
    """
    matrix = codes.to_csr() if isinstance(codes, Codes) else sparse.csr_matrix(codes)
    if not np.isfinite(matrix.data).all():
        raise InvalidInputError("Some concept activations are not finite numbers; encode or import the embeddings again.")
    return matrix


def checked_labels(labels: np.ndarray, rows: int, classes: int) -> Int[np.ndarray, " rows"]:
    """Labels as int64, or InvalidInputError where they do not belong to these rows and classes."""
    labels = np.asarray(labels)
    if labels.shape != (rows,):
        raise InvalidInputError(f"{labels.size} labels for {rows} rows: give one class number per row, and leave unlabelled rows out")
    if not np.issubdtype(labels.dtype, np.integer):
        raise InvalidInputError(f"labels must be whole class numbers, not {labels.dtype}")
    if rows == 0:
        raise InvalidInputError("there are no labelled rows to learn a head from: label some images first")
    if labels.min() < 0 or labels.max() >= classes:
        raise InvalidInputError(
            f"labels run from {labels.min()} to {labels.max()}, outside 0 … {classes - 1}: "
            "leave unlabelled rows (-1) out, or add class names"
        )
    if len(np.unique(labels)) < 2:
        raise InvalidInputError("all rows have one class: a head needs rows of at least two")
    return labels.astype(np.int64)


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (kept, held out): about `fraction` of every class is held out, but a class never loses its last row."""
    generator = np.random.default_rng(seed)
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        # Rounding by a random offset keeps the expected share right for classes of very few rows.
        count = int(np.floor(fraction * len(rows) + generator.random()))
        held[rows[: min(count, len(rows) - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
