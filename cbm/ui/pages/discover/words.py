"""The settings of discovery in plain words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """One option: what to call it, and what it does for somebody who has not read the papers."""

    label: str
    help: str


WIDTH_HELP = (
    "How many concepts to look for. More of them find finer things, but each needs images to learn from: "
    "a quarter as many concepts as images is a sound start. Too many end up dead."
)
K_HELP = "How many concepts one image may have at a time. Fewer are easier to read; more keep more of the image."
EPOCHS_HELP = "How often every image is seen. If empty, small sets are seen often and large ones rarely: 400,000 images in total."
SEED_HELP = "The seed of everything random. Another seed finds partly different concepts; a sweep measures how many are the same."
RATE_HELP = "Size of the learning steps. Lower it where the loss jumps or where most concepts die."
MATRYOSHKA_HELP = "The first eighth, quarter and half of the concepts must explain images on their own too: coarse concepts come first."
