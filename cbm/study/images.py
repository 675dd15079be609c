"""Images beside what a model says about them: plain values, for galleries and lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float32
from PIL import Image


@dataclass(frozen=True)
class PictureTile:
    """One image of a gallery."""

    row: int
    """Row of the embedding set that the image comes from."""
    uri: str
    """Where its picture is."""
    title: str
    """One short line under the picture."""
    alt: str
    """The picture in words, for those who do not see it."""
    correct: bool | None = None
    """Whether the model gets the image right; None without a label, or where that is not the question."""


@dataclass(frozen=True, kw_only=True)
class JudgedImage(PictureTile):
    """A held-out image with the class that the model predicts; titled by it where nothing more telling is known."""

    item: str
    truth: str | None
    predicted: str


@dataclass(frozen=True, eq=False)
class Subject:
    """One image with what the model needs to judge it: a held-out one, or a picture from outside."""

    item: str
    title: str
    row: int | None
    """Row of the held-out images; None for a picture from outside."""
    codes: scipy.sparse.csr_matrix
    """Its unedited activations, [1, concepts]."""
    embedding: Float32[np.ndarray, " dim"]
    """In the space of the model."""
    truth: str | None
    uri: str | None
    """Where its picture is; None for a picture from outside."""
    group: str | None = None
    picture: Image.Image | None = None
    """The picture from outside."""
    patches: Float32[np.ndarray, "rows columns dim"] | None = None
    """Patch embeddings of a picture from outside, which nothing else keeps; None where the backbone has none."""
