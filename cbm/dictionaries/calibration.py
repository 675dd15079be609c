"""The threshold that makes a trained encoder independent of its batch, with as many active latents as were asked for."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float

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
