"""A dictionary of directions that are given and stay as they are."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32

from cbm.core.arrays import unit_rows
from cbm.dictionaries.calibration import CALIBRATION_ROWS, calibrate_threshold
from cbm.dictionaries.jumprelu import JumpReluDictionary, RandomDictionary
from cbm.dictionaries.weights import Weights

D = TypeVar("D", bound=JumpReluDictionary)


def fixed_directions(
    directions: Float32[np.ndarray, "size dim"],
    embeddings: Float[np.ndarray, "count dim"],
    k: int,
    kind: type[D] = JumpReluDictionary,  # type: ignore[assignment]
) -> D:
    """The dictionary whose encoder is the transpose of its directions.

    The threshold gives k active latents on average; one factor, fitted by least squares, scales the reconstruction.

    Args:
        directions: unit rows.
        embeddings: what the threshold and the factor are fitted on.
        kind: the class of the result.
    """
    sample = np.asarray(embeddings[:: max(1, len(embeddings) // CALIBRATION_ROWS)], np.float32)
    mean = embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = sample - mean
    size, dim = directions.shape
    weights = Weights(torch.from_numpy(directions), torch.zeros(size), torch.from_numpy(directions), torch.zeros(dim))
    threshold = np.full(size, calibrate_threshold(weights, torch.from_numpy(centred), k), np.float32)
    unscaled = kind(
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
    return kind(**{**unscaled.tensors(), "decoder": directions * np.float32(max(factor, 1e-6))}, scale=1.0)


def random_dictionary(embeddings: Float[np.ndarray, "count dim"], *, size: int, k: int, seed: int = 0) -> RandomDictionary:
    """`fixed_directions` drawn from `seed`."""
    directions = unit_rows(np.random.default_rng(seed).normal(size=(size, embeddings.shape[1])))
    return fixed_directions(directions, embeddings, k, RandomDictionary)
