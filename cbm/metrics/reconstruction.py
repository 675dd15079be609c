"""How well a dictionary reconstructs embeddings, and how sparsely: every figure defined once, from sums in float64.

Formulas: reference definitions of the fraction of variance unexplained (FVU) about the sample mean, cosine, L0, density and dead latents.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from cbm.core.bottleneck import CHUNK_ROWS, Bottleneck
from cbm.core.errors import InvalidInputError

DENSITY_EDGES = np.linspace(-7, 0, 51)
"""Edges of the 50 bins of log10 density."""
DENSE = 0.1
"""A latent that is active on more than this share of the embeddings is called dense."""
_CONSTRUCTOR = object()


class ReconstructionAccumulators:
    """Sums over embeddings, in float64, from which `ReconstructionMetrics` is computed once at the end."""

    def __init__(self, size: int, mean: Float[np.ndarray, " dim"]) -> None:
        self.size = size
        self.mean = np.asarray(mean, np.float64)
        self.squared_error = 0.0
        self.variance = 0.0
        self.cosine_raw = 0.0
        self.cosine_centred = 0.0
        self.l0: list[Int64[np.ndarray, " batch"]] = []
        self.active: Float64[np.ndarray, " size"] = np.zeros(size)

    def add(
        self,
        embeddings: Float[np.ndarray, "batch dim"],
        reconstructions: Float[np.ndarray, "batch dim"],
        l0: Int64[np.ndarray, " batch"],
        active: Int64[np.ndarray, " size"],
    ) -> None:
        """Count a batch: its embeddings, their reconstructions, active latents per embedding and activations per latent."""
        original, rebuilt = embeddings.astype(np.float64), reconstructions.astype(np.float64)
        self.squared_error += float(np.square(original - rebuilt).sum())
        self.variance += float(np.square(original - self.mean).sum())
        self.cosine_raw += float(_cosines(original, rebuilt).sum())
        self.cosine_centred += float(_cosines(original - self.mean, rebuilt - self.mean).sum())
        self.l0.append(np.asarray(l0, np.int64))
        self.active += active


@dataclass(frozen=True)
class ReconstructionMetrics:
    """Figures of one dictionary on one set of embeddings; built by `from_accumulators` only, so that they agree with each other."""

    fvu: float
    """Σ‖x - x^‖² / Σ‖x - mean of x‖², in the raw space of the embeddings (formula id `fvu_global`)."""
    cosine_raw: float
    """Mean cosine of x and x^. Embeddings far from the origin score high even when only their mean is predicted: see that baseline."""
    cosine_centred: float
    """Mean cosine of x and x^ after the mean of x is subtracted from both; 0 where one of them is the mean itself."""
    l0_mean: float
    """Active latents of an embedding."""
    l0_p5: float
    l0_p50: float
    l0_p95: float
    dead: float
    """Share of latents that never fired on `window` embeddings."""
    window: int
    """Number of embeddings; `dead` and the left edge of the density histogram mean little without it."""
    dense: float
    """Share of latents that fire on more than a tenth of the embeddings."""
    density_histogram: tuple[int, ...]
    """Latents per bin of log10 density, 50 bins from -7 to 0; dead latents are in none."""
    size: int
    _made_by: dataclasses.InitVar[object] = None

    def __post_init__(self, _made_by: object) -> None:
        if _made_by is not _CONSTRUCTOR:
            raise TypeError("ReconstructionMetrics is built by from_accumulators only")

    @classmethod
    def from_accumulators(cls, sums: ReconstructionAccumulators) -> ReconstructionMetrics:
        """Divide once, at the end.

        Raises:
            InvalidInputError: nothing was added, or all embeddings are one vector, so that there is no variance to explain.
        """
        l0 = np.concatenate(sums.l0) if sums.l0 else np.zeros(0, np.int64)
        if len(l0) == 0 or sums.variance == 0:
            raise InvalidInputError("Reconstruction needs at least two different embeddings; this set has no variance to explain.")
        density = sums.active / len(l0)
        alive = density[density > 0]
        histogram, _ = np.histogram(np.clip(np.log10(alive), DENSITY_EDGES[0], DENSITY_EDGES[-1]), bins=DENSITY_EDGES)
        p5, p50, p95 = (float(value) for value in np.quantile(l0, (0.05, 0.5, 0.95)))
        return cls(
            fvu=sums.squared_error / sums.variance,
            cosine_raw=sums.cosine_raw / len(l0),
            cosine_centred=sums.cosine_centred / len(l0),
            l0_mean=float(l0.mean()),
            l0_p5=p5,
            l0_p50=p50,
            l0_p95=p95,
            dead=1 - len(alive) / sums.size,
            window=len(l0),
            dense=float((density > DENSE).mean()),
            density_histogram=tuple(int(count) for count in histogram),
            size=sums.size,
            _made_by=_CONSTRUCTOR,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def measure_reconstruction(bottleneck: Bottleneck, embeddings: Float[np.ndarray, "count dim"]) -> ReconstructionMetrics:
    """Encode, decode and compare, chunk by chunk; memory does not grow with the set.

    Raises:
        MismatchError: the bottleneck does not decode.
    """
    sums = ReconstructionAccumulators(bottleneck.size, sample_mean(embeddings))
    for start in range(0, len(embeddings), CHUNK_ROWS):
        chunk = np.asarray(embeddings[start : start + CHUNK_ROWS], np.float32)
        codes = bottleneck.encode(chunk)
        active = codes.values != 0
        counts = np.bincount(codes.indices[active], minlength=bottleneck.size)
        sums.add(chunk, bottleneck.decode(codes), active.sum(axis=1), counts)
    return ReconstructionMetrics.from_accumulators(sums)


def sample_mean(embeddings: Float[np.ndarray, "count dim"]) -> Float64[np.ndarray, " dim"]:
    """Mean row, summed in float64 chunk by chunk."""
    total = np.zeros(embeddings.shape[1])
    for start in range(0, len(embeddings), CHUNK_ROWS):
        total += embeddings[start : start + CHUNK_ROWS].sum(axis=0, dtype=np.float64)
    return total / max(1, len(embeddings))


def _cosines(first: Float64[np.ndarray, "batch dim"], second: Float64[np.ndarray, "batch dim"]) -> Float64[np.ndarray, " batch"]:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    # Differences of rounding size from the mean have no direction.
    return np.where(lengths > 1e-10, products / np.maximum(lengths, 1e-10), 0.0)
