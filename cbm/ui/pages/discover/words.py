"""The settings and figures of discovery in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cbm.names.rules import Rule


@dataclass(frozen=True)
class Choice:
    """One option: what to call it, and what it does for somebody who has not read the papers."""

    label: str
    help: str


VARIANTS: Mapping[str, Choice] = {
    "batchtopk": Choice("BatchTopK", "Recommended. Images use k concepts on average: rich ones may use more, plain ones use fewer."),
    "topk": Choice("TopK", "Every image uses exactly k concepts while it trains, however much or little there is to see."),
    "relu-l1": Choice("ReLU + L1", "The classic: a price on activation keeps most concepts silent; a threshold then leaves k on average."),
    "dn-cbm": Choice("DN-CBM recipe", "The published recipe of Discover-then-Name, to compare with: fixed width, 200 passes, slow."),
    "kmeans": Choice("k-means", "Baseline: groups of similar images. Every image has exactly one concept, its group."),
    "pca": Choice("PCA", "Baseline: the directions along which images differ most. They explain much and mean little."),
    "random": Choice("Random directions", "Baseline: nothing is learned. What is no better than this is worth nothing."),
    "neurons": Choice("Embedding dimensions", "Baseline: the numbers of the embedding as they are, each in both directions."),
}
RULES: Mapping[Rule, Choice] = {
    "combined": Choice("Direction and images", "Recommended. A name must fit both the concept's direction and its strongest images."),
    "centred": Choice("Direction alone", "The name whose text lies closest to the concept's direction; what all texts share is taken out."),
    "soft-wpmi": Choice("Images alone", "The name that the concept's images have in common and other images do not have."),
    "cosine": Choice("Plain cosine", "The published rule of DN-CBM: as “direction alone”, but nothing is taken out. Names repeat more."),
}

BASELINES: Mapping[str, Choice] = {
    "mean": Choice("Mean image", "Every image is replaced by the average one: nothing is explained."),
    "k-means": Choice("k-means", "Every image is replaced by the centre of its group."),
    "random": Choice("Random directions", "As many concepts per image, of directions that nobody learned."),
    "neurons": Choice("Embedding dimensions", "The largest numbers of the embedding itself, as many as concepts per image."),
}

SHIPPED: Mapping[str, Choice] = {
    "english": Choice("English words", "20,000 common English words; the list that published work names concepts from."),
    "attributes": Choice("Attributes", "Some 650 colours, materials, patterns, parts and places: short and visual."),
    "scenes": Choice("Scene words", "The words that the demo's own backbone was taught. Others know little of them."),
}

WIDTH_HELP = (
    "How many concepts to look for. More of them find finer things, but each needs images to learn from: "
    "a quarter as many concepts as images is a sound start. Too many end up dead."
)
K_HELP = "How many concepts one image may have at a time. Fewer are easier to read; more keep more of the image."
EPOCHS_HELP = "How often every image is seen. Left empty, small sets are seen often and large ones rarely: 400,000 images in all."
SEED_HELP = "The start of everything random. Another seed finds partly other concepts; the sweep measures how many are the same."
RATE_HELP = "Size of the learning steps. Lower it where the loss jumps or where most concepts die."
MATRYOSHKA_HELP = "The first eighth, quarter and half of the concepts must explain images on their own too: coarse concepts come first."

FVU_HELP = (
    "Share of what differs between images that the concepts keep, on images held out of training: 1 − FVU "
    "(FVU: fraction of variance unexplained). 100% would rebuild every embedding exactly."
)
COSINE_HELP = (
    "How well the rebuilt embedding points the way of the true one, both about the mean image: 1 is the same direction, 0 is none."
)
L0_HELP = "Concepts that are active in a held-out image, on average (L0), under the threshold that the finished model uses."
DEAD_HELP = "Concepts that fire on none of the images. They cost nothing, but a narrower dictionary would have done."
TIME_HELP = "Training alone, without measuring the baselines."


def figure(value: float) -> str:
    """A figure of no unit with three digits and a typographic sign."""
    return f"{value:.3f}".replace("-", "−")


def baseline(name: str) -> Choice:
    """What a row of the baselines is called: `pca-32`, `pca-top-32`, …"""
    if name.startswith("pca-top-"):
        count = name.removeprefix("pca-top-")
        return Choice(f"PCA, best {count} each", f"For each image the {count} principal components that it has most of.")
    if name.startswith("pca-"):
        count = name.removeprefix("pca-")
        return Choice(f"PCA, first {count}", f"The same {count} principal components for every image.")
    return BASELINES.get(name, Choice(name, ""))
