"""The settings of discovery in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
WIDTH_HELP = (
    "How many concepts to look for. More of them find finer things, but each needs images to learn from: "
    "a quarter as many concepts as images is a sound start. Too many end up dead."
)
K_HELP = "How many concepts one image may have at a time. Fewer are easier to read; more keep more of the image."
EPOCHS_HELP = "How often every image is seen. Left empty, small sets are seen often and large ones rarely: 400,000 images in all."
SEED_HELP = "The start of everything random. Another seed finds partly other concepts; the sweep measures how many are the same."
RATE_HELP = "Size of the learning steps. Lower it where the loss jumps or where most concepts die."
MATRYOSHKA_HELP = "The first eighth, quarter and half of the concepts must explain images on their own too: coarse concepts come first."
