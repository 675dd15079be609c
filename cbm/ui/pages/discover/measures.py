"""What the figures of a dictionary mean, and what the simpler methods are called that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

FVU = (
    "Share of the variance between images that the concepts keep, on images held out of training: 1 − FVU "
    "(FVU: fraction of variance unexplained). 100% would rebuild every embedding exactly."
)
COSINE = "Cosine of the rebuilt embedding and the true one, both about the mean image: 1 is the same direction, 0 is unrelated."
L0 = "Concepts that are active in a held-out image, on average (L0), under the threshold that the finished model uses."
DEAD = "Concepts that fire on none of the images. They do no harm, but a narrower dictionary would do."
TIME = "Training only, without the baselines."
STABILITY = "How closely another seed finds the same directions: 1 is identical. Needs two seeds in one sweep."


class Baseline(NamedTuple):
    """A simpler way to explain the images."""

    label: str
    help: str


_BASELINES: Mapping[str, Baseline] = {
    "mean": Baseline("Mean image", "Every image is replaced by the average one: nothing is explained."),
    "k-means": Baseline("k-means", "Every image is replaced by the centre of its group."),
    "random": Baseline("Random directions", "As many concepts per image, on random directions."),
    "neurons": Baseline("Embedding dimensions", "The largest dimensions of the embedding itself, as many as concepts per image."),
}


def baseline(name: str) -> Baseline:
    """What a row of the baselines is called: `mean`, `pca-32`, `pca-top-32`, …"""
    if name.startswith("pca-top-"):
        count = name.removeprefix("pca-top-")
        return Baseline(f"PCA, best {count} each", f"For each image the {count} strongest principal components.")
    if name.startswith("pca-"):
        count = name.removeprefix("pca-")
        return Baseline(f"PCA, first {count}", f"The same {count} principal components for every image.")
    return _BASELINES.get(name, Baseline(name, ""))


def figure(value: float) -> str:
    """A figure of no unit with three digits and a typographic sign."""
    return f"{value:.3f}".replace("-", "−")
