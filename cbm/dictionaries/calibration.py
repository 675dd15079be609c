"""The threshold that makes a trained encoder independent of its batch, with as many active latents as were asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.weights import Weights

CALIBRATION_ROWS = 100_000
_STEPS = 60


def positive_responses(
    weights: Weights, inputs: Float[torch.Tensor, "batch dim"], chunk_rows: int, per_row: int
) -> Iterator[Float[torch.Tensor, " some"]]:
    """Positive pre-activations of each chunk, at most rows · `per_row` of them, the largest."""
    for chunk in inputs.split(chunk_rows):
        responses = torch.addmm(weights.encoder_bias, chunk - weights.decoder_bias, weights.encoder.T).flatten()
        positive = responses[responses > 0]
        count = len(chunk) * per_row
        yield positive.topk(count, sorted=False).values if len(positive) > count else positive


def calibrate_threshold(weights: Weights, inputs: Float[torch.Tensor, "batch dim"], k: int, *, chunk_rows: int = 1024) -> float:
    """The threshold above which `inputs` have k active latents on average, found by bisection; 0 if they never have that many.

    Inputs are centred and scaled already.
    """
    # Eight times k per row is room for chunks that are much richer than the average; everything else lies below the threshold anyway.
    responses = torch.cat(list(positive_responses(weights, inputs, chunk_rows, 8 * k)))
    wanted = k * len(inputs)
    if len(responses) <= wanted:
        return 0.0
    low, high = 0.0, float(responses.max())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if int((responses > middle).sum()) > wanted:
            low = middle
        else:
            high = middle
    return high


def recalibrated(dictionary: JumpReluDictionary, embeddings: Float[np.ndarray, "count dim"], k: int) -> JumpReluDictionary:
    """The same dictionary with one threshold at which these embeddings have k active latents on average; no labels are needed.

    Images of another kind than the training images use more latents, or fewer; this brings them back to k.
    """
    step = max(1, len(embeddings) // CALIBRATION_ROWS)
    inputs = (np.asarray(embeddings[::step], np.float32) - dictionary.mean) * np.float32(dictionary.scale)
    parts = (np.ascontiguousarray(dictionary.encoder.T), dictionary.encoder_bias, dictionary.decoder, dictionary.decoder_bias)
    weights = Weights(*(torch.from_numpy(part) for part in parts))
    threshold = calibrate_threshold(weights, torch.from_numpy(inputs), k)
    return dataclasses.replace(dictionary, threshold=np.full(dictionary.size, threshold, np.float32))
