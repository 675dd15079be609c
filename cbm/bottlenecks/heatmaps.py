"""Where in a picture a concept is: a latent's response to every patch, and a patch's codes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes


def concept_heat_maps(
    bottleneck: Bottleneck,
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
    flat = _at_image_scale(patches, space).reshape(-1, dim)
    responses = bottleneck.preactivations(np.ascontiguousarray(flat, np.float32), latents)
    return responses.reshape(images, rows, columns, len(latents))


def patch_codes(bottleneck: Bottleneck, patches: Float32[np.ndarray, "rows columns dim"], space: str = "l2") -> Codes:
    """The codes of every patch of one image, row by row: which concepts fire there, had the whole image looked like that patch.

    Args:
        patches: raw patch embeddings of one image; they are scaled as in `concept_heat_maps`.
    """
    return bottleneck.encode(_at_image_scale(patches[None], space).reshape(-1, patches.shape[-1]))


def shares_of_peak(heat: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """A heat-map as 0 (least, or no response) to 1 (its peak); all zeros where the concept responds nowhere or everywhere alike."""
    positive = np.maximum(np.asarray(heat, np.float32), 0.0)
    low, high = float(positive.min(initial=np.inf)), float(positive.max(initial=0.0))
    return (positive - low) / (high - low) if high > low else np.zeros_like(positive)


def _at_image_scale(patches: Float32[np.ndarray, "images rows columns dim"], space: str) -> Float32[np.ndarray, "images rows columns dim"]:
    if space != "l2":
        return patches
    images, rows, columns, dim = patches.shape
    pooled = patches.reshape(images, rows * columns, dim).mean(axis=1)
    return patches / np.maximum(np.linalg.norm(pooled, axis=1), 1e-12)[:, None, None, None]
