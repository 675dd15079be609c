"""How many latents a set of images can fill, and how many of them an image should use: the defaults of those who do not choose."""

from __future__ import annotations

import math
from dataclasses import dataclass

IMAGES_PER_LATENT = 4
"""Each latent needs several images that show it, or it learns one picture by heart."""
SMALLEST_WIDTH = 32
EXPANSION = 8
"""Latents per embedding dimension that more images do not exceed; what published dictionaries on CLIP have (Rao et al. 2024)."""
LARGEST_K = 32
DIMENSIONS_PER_ACTIVE = 16


@dataclass(frozen=True)
class DictionarySize:
    """Width and sparsity of a dictionary."""

    width: int
    """Number of latents."""
    k: int
    """Active latents of an image."""


def sound_size(images: int, dim: int) -> DictionarySize:
    """A size that suits a set: `images` / 4 latents as a power of two, from 32 to eight times the dimension; k = dim / 16, at most 32.

    60 images of any backbone get 32 latents, 4,000 images of ViT-B/32 (512 dimensions) get 1024 with k = 32, a million gets 4096.
    Never more than a quarter of the latents are active at once: where every image has everything, nothing separates images.

    Args:
        images: number of embeddings to learn from.
        dim: their dimension.
    """
    fitting = 2 ** round(math.log2(max(images, 1) / IMAGES_PER_LATENT))
    width = max(SMALLEST_WIDTH, min(fitting, EXPANSION * dim))
    return DictionarySize(width, max(1, min(LARGEST_K, dim // DIMENSIONS_PER_ACTIVE, width // 4)))
