"""Soft-WPMI of CLIP-Dissect (Oikarinen and Weng, ICLR 2023, section 3.2 and their similarity.py), on sparse codes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from cbm.core.codes import Codes
from cbm.names.candidates import BestCandidates, name_chunks
from cbm.names.soft_wpmi import SoftWpmiConfig
from cbm.names.top_images import top_images

DEFAULT_SOFT_WPMI = SoftWpmiConfig()
_LATENTS_AT_A_TIME = 64


def soft_wpmi(
    codes: Codes,
    images: Float32[np.ndarray, "images dim"],
    names: Float32[np.ndarray, "names dim"],
    *,
    candidates: int,
    config: SoftWpmiConfig = DEFAULT_SOFT_WPMI,
) -> BestCandidates:
    """Best names by score(k, c) = log p(D_k | c) - λ · log mean_k' p(D_k' | c).

    log p(D_k | c) = Σ_r log(1 + p_r (P_rc - 1) + 1e-7) over the images r with the strongest activations of latent k. A latent that is
    active on fewer images than `top` uses those it has; one that is never active scores -inf for every name and is left out of the mean.

    Args:
        images: unit rows, in the order of `codes`.
        names: unit rows.
    """
    found = top_images(codes, min(config.top, max(len(codes), 1)))
    alive = np.flatnonzero(found.counts)
    belongs = np.linspace(config.first, config.last, config.top, dtype=np.float32)[: found.rows.shape[1]]
    normaliser = _log_normaliser(images, names, config.sharpness)
    best = BestCandidates(codes.size, candidates)
    for chunk in name_chunks(len(names)):
        probability = np.exp(config.sharpness * (images @ names[chunk].T) - normaliser[:, None])
        likelihood = np.full((codes.size, chunk.stop - chunk.start), -np.inf, np.float32)
        for start in range(0, len(alive), _LATENTS_AT_A_TIME):
            latents = alive[start : start + _LATENTS_AT_A_TIME]
            likelihood[latents] = _log_likelihood(probability, found.rows[latents], found.activations[latents] > 0, belongs)
        if len(alive):
            likelihood[alive] -= config.correction * _log_mean_exp(likelihood[alive])[None, :]
        best.add(likelihood, chunk.start)
    return best


def _log_likelihood(
    probability: np.ndarray, rows: np.ndarray, present: np.ndarray, belongs: np.ndarray
) -> Float32[np.ndarray, "latents names"]:
    total = np.zeros((len(rows), probability.shape[1]), np.float32)
    for rank, weight in enumerate(belongs):
        term = np.log(1 + weight * (probability[rows[:, rank]] - 1) + np.float32(1e-7))
        total += np.where(present[:, rank, None], term, 0)
    return total


def _log_mean_exp(values: np.ndarray) -> np.ndarray:
    largest = values.max(axis=0)
    return np.asarray(largest + np.log(np.exp((values - largest).astype(np.float64)).mean(axis=0)), np.float32)


def _log_normaliser(images: np.ndarray, names: np.ndarray, sharpness: float) -> Float32[np.ndarray, " images"]:
    """log Σ_c exp(sharpness × cosine) for every image, without images × names in memory."""
    largest = np.full(len(images), -np.inf)
    total = np.zeros(len(images))
    for chunk in name_chunks(len(names)):
        score = (sharpness * (images @ names[chunk].T)).astype(np.float64)
        new_largest = np.maximum(largest, score.max(axis=1))
        total = total * np.exp(largest - new_largest) + np.exp(score - new_largest[:, None]).sum(axis=1)
        largest = new_largest
    return (largest + np.log(total)).astype(np.float32)
