"""Where in a picture a concept is: a latent's response to every patch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int

from cbm.dictionaries.base import Dictionary


def concept_heat_maps(
    dictionary: Dictionary,
    patches: Float32[np.ndarray, "images rows columns dim"],
    latents: Int[np.ndarray, " some"],
    space: str = "l2",
) -> Float32[np.ndarray, "images rows columns some"]:
    """Pre-activations of the chosen latents on patch embeddings.

    The patches are brought to the scale of the image's embedding first: in space `l2` all of an image's patches are divided by the length
    of their mean, so that for a backbone that averages its patches the mean of a heat-map is exactly the image's own pre-activation.

    Args:
        patches: raw patch embeddings, as `Backbone.encode_patches` gives them.
        space: the space of the embeddings that the dictionary was trained on.
    """
    images, rows, columns, dim = patches.shape
    if space == "l2":
        pooled = patches.reshape(images, rows * columns, dim).mean(axis=1)
        patches = patches / np.maximum(np.linalg.norm(pooled, axis=1), 1e-12)[:, None, None, None]
    responses = dictionary.preactivations(np.ascontiguousarray(patches.reshape(-1, dim), np.float32), latents)
    return responses.reshape(images, rows, columns, len(latents))
