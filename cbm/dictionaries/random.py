"""Random directions as a dictionary: what sparsity and size alone achieve."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float

from cbm.core.arrays import unit_rows
from cbm.dictionaries.calibration import CALIBRATION_ROWS, calibrate_threshold
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.weights import Weights


class RandomDictionary(JumpReluDictionary):
    """Frozen random unit directions: the encoder is their transpose, the threshold calibrated, one factor fitted to the reconstruction."""

    kind: ClassVar[str] = "random"

    @classmethod
    def fit(cls, embeddings: Float[np.ndarray, "count dim"], *, size: int, k: int, seed: int = 0) -> Self:
        """Directions from `seed`; the threshold gives k active latents on average, the decoder's length is the least-squares factor."""
        sample = np.asarray(embeddings[:: max(1, len(embeddings) // CALIBRATION_ROWS)], np.float32)
        mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = sample - mean
        directions = unit_rows(np.random.default_rng(seed).normal(size=(size, sample.shape[1])))
        weights = Weights(torch.from_numpy(directions), torch.zeros(size), torch.from_numpy(directions), torch.zeros(sample.shape[1]))
        threshold = np.full(size, calibrate_threshold(weights, torch.from_numpy(centred), k), np.float32)
        unscaled = cls(
            encoder=np.ascontiguousarray(directions.T),
            encoder_bias=np.zeros(size, np.float32),
            decoder=directions,
            decoder_bias=np.zeros_like(mean),
            threshold=threshold,
            mean=mean,
            scale=1.0,
        )
        rebuilt = unscaled.decode(unscaled.encode(sample)) - mean
        factor = float(np.vdot(rebuilt, centred) / max(float(np.vdot(rebuilt, rebuilt)), 1e-12))
        return cls(**{**unscaled.tensors(), "decoder": directions * np.float32(max(factor, 1e-6))}, scale=1.0)
