"""Heat-maps on pictures: what a concept does not respond to is darkened, so that the picture itself stays readable.

Patch embeddings are cached by backbone and picture; overlays by picture, model and concept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import cast

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cbm.bottlenecks.heatmaps import concept_heat_maps, shares_of_peak
from cbm.core.errors import CbmError, InvalidInputError
from cbm.dictionaries.base import Dictionary
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes, read_picture
from cbm.study.study import Study
from cbm.ui.frame import cache, resources
from cbm.ui.widgets.thumbnails import SIZE, draw_outcome, encoded, square, thumbnail

OPACITY = 0.72
"""How dark it gets where a concept does not respond, 0 to 1."""
_PATCHES: cache.Shelf[Float32[np.ndarray, "rows columns dim"]] = cache.Shelf("patches")
"""Patch embeddings by backbone and picture."""


def why_never(study: Study) -> str | None:
    """Why there are no heat-maps for this model on any machine, found out without loading anything; None where there may be some."""
    if not study.model.bottleneck.abilities.patches:
        return "This model's concepts are not directions of a dictionary, so they cannot be located in a picture."
    return resources.why_never_an_encoder(study)


def why_not(study: Study) -> str | None:
    """Why there are no heat-maps for this model here and now; None where there are."""
    return why_never(study) or resources.why_no_encoder(study)


def patches_of(study: Study, uris: Sequence[str]) -> list[Float32[np.ndarray, "_ _ dim"]]:
    """Raw patch embeddings of pictures, in one batch for those not asked for lately.

    Raises:
        MissingWeightsError: the backbone is not available.
        CbmError: a picture cannot be read, or the backbone has no patches.
    """
    shared = resources.encoder(study)
    backbone = shared.backbone.store_key
    found = {name: patches for name in uris if (patches := _PATCHES.get(backbone, name)) is not None}
    missing = [name for name in dict.fromkeys(uris) if name not in found]
    if missing:
        pictures = [_as_encoded(name, shared.backbone.image_size) for name in missing]
        with shared.lock:
            fresh = shared.backbone.encode_patches(pictures)
        for name, patches in zip(missing, fresh, strict=True):
            found[name] = patches.copy()
            found[name].setflags(write=False)
            _PATCHES.put(backbone, name, value=found[name])
    return [found[name] for name in uris]


def encode_patches(study: Study, picture: Image.Image) -> Float32[np.ndarray, "rows columns dim"]:
    """Raw patch embeddings of one picture that nobody else may see: they are not kept.

    Raises:
        MissingWeightsError: the backbone is not available.
        InvalidInputError: the backbone has no patches.
    """
    shared = resources.encoder(study)
    with shared.lock:
        return shared.backbone.encode_patches([picture])[0]


def heat(study: Study, patches: Float32[np.ndarray, "rows columns dim"], concepts: Sequence[int]) -> Float32[np.ndarray, "rows columns"]:
    """Where a concept (or several that were merged) is, as shares of its peak: 0 to 1."""
    maps = concept_heat_maps(_dictionary(study), patches[None], np.asarray(concepts, np.int64), study.model.space)[0]
    return shares_of_peak(np.maximum(maps, 0.0).sum(axis=-1))


def _dictionary(study: Study) -> Dictionary:
    if not study.model.bottleneck.abilities.patches:
        raise InvalidInputError(why_not(study) or "")
    return cast(Dictionary, study.model.bottleneck)


def _as_encoded(uri: str, image_size: int) -> Image.Image:
    """The very pixels that were encoded for the embedding set, so that patches and embedding agree."""
    return decode(read_bytes(uri), target_size=image_size)


def as_seen(picture: Image.Image, resize_mode: str) -> Image.Image:
    """The part of a picture that the backbone sees, undistorted: patches divide it evenly."""
    width, height = picture.size
    if resize_mode == "squash" or width == height:
        return picture
    side = min(width, height) if resize_mode == "shortest" else max(width, height)
    # A box that reaches beyond the picture is filled with black, as padding is.
    left, top = (width - side) // 2, (height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def darken(picture: Image.Image, shares: Float32[np.ndarray, "rows columns"], opacity: float = OPACITY) -> Image.Image:
    """The picture, dark where the concept does not respond; patches blend into each other."""
    blended = Image.fromarray(np.rint(shares * 255).astype(np.uint8)).resize(picture.size, Image.Resampling.BICUBIC)
    light = 1.0 - opacity * (1.0 - np.asarray(blended, np.float32) / 255.0)
    return Image.fromarray((np.asarray(picture, np.float32) * light[..., None]).astype(np.uint8))


@cache.remember()
def overlay(root: str, model: str, uri: str, concepts: tuple[int, ...], correct: bool | None = None, size: int = SIZE) -> str:
    """A square thumbnail with a concept's heat-map on it, as a data URL; the plain thumbnail where the picture cannot be read.

    Args:
        concepts: one concept, or those that were merged into one.
        correct: whether the model gets the image right, for a border that says so.

    Raises:
        MissingWeightsError: the backbone is not available.
    """
    study = resources.study(root, model)
    shared = resources.encoder(study)
    try:
        shares = heat(study, patches_of(study, [uri])[0], concepts)
        seen = as_seen(read_picture(uri, size=size * 3 // 2), shared.backbone.resize_mode)
    except (CbmError, OSError):
        return thumbnail(uri, size)
    return encoded(draw_outcome(square(darken(seen, shares), size), correct))


def prepare(study: Study, uris: Sequence[str]) -> None:
    """Encode the pictures of a gallery together, before `overlay` asks for them one by one.

    Raises:
        MissingWeightsError: the backbone is not available.
    """
    resources.encoder(study)
    # One unreadable picture must not cost the others their heat-map; `overlay` meets it again, alone.
    with contextlib.suppress(CbmError, OSError):
        patches_of(study, uris)
