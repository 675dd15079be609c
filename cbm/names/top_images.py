"""The images that activate each latent most, taken from sparse codes without densifying them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

from cbm.core.codes import Codes


@dataclass(frozen=True)
class TopImages:
    """For every latent its most activating images, strongest first."""

    rows: Int32[np.ndarray, "latents top"]
    """Row of each image; padded with 0 where a latent is active on fewer images."""
    activations: Float32[np.ndarray, "latents top"]
    """Positive activations; padded with 0."""

    @property
    def counts(self) -> Int64[np.ndarray, " latents"]:
        """Images found for each latent, at most `top`."""
        return np.count_nonzero(self.activations, axis=1)


def top_images(codes: Codes, top: int) -> TopImages:
    """The `top` images with the largest positive activation of each latent; of equal activations the earlier image wins."""
    active = codes.values > 0
    image, _ = np.nonzero(active)
    latent, value = codes.indices[active], codes.values[active]
    order = np.lexsort((image, -value, latent))
    image, latent, value = image[order], latent[order], value[order]
    starts = np.searchsorted(latent, np.arange(codes.size))
    rank = np.arange(len(latent)) - starts[latent]
    kept = rank < top
    rows = np.zeros((codes.size, top), np.int32)
    activations = np.zeros((codes.size, top), np.float32)
    rows[latent[kept], rank[kept]] = image[kept]
    activations[latent[kept], rank[kept]] = value[kept]
    return TopImages(rows, activations)
