"""The labelled tasks: ten classes defined by two concepts each, and two classes with a planted shortcut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbm.images.scenes.layout import Layout, sample_layout

CLASS_RULES: dict[str, dict[str, str]] = {
    "balloon": {"shape": "circle", "colour": "red"},
    "beach ball": {"shape": "circle", "pattern": "striped"},
    "starfish": {"shape": "star", "colour": "orange"},
    "sheriff badge": {"shape": "star", "colour": "yellow"},
    "warning sign": {"shape": "triangle", "colour": "yellow"},
    "iceberg": {"shape": "triangle", "background": "snow"},
    "chessboard": {"shape": "square", "pattern": "checkered"},
    "blueprint": {"shape": "square", "colour": "blue"},
    "valentine": {"shape": "heart", "colour": "red"},
    "serenade": {"shape": "heart", "background": "night"},
}
"""Class name to the two concepts that define it; every scene of the task satisfies exactly one rule, all else is random."""

CLASS_SMALL_RADII = (0.058, 0.106)
"""Small figures of the task may be far away: so the best of heads errs now and then, as on real pictures."""

SHORTCUT_CLASSES = ("circle", "heart")
"""The causal concept of the shortcut task is the shape."""
SHORTCUT_BACKGROUNDS = ("sea", "desert")
SHORTCUT_CORRELATION = {"train": 0.95}
"""Share of scenes whose background is the one of their class, by split; 0.5 in every other split."""
SHORTCUT_WRONG_LABELS = {"train": 0.06}
"""Share of scenes whose label contradicts their shape, by split; none in every other split.

As in ColoredMNIST (Arjovsky et al. 2019, section 5.2), it is this noise that makes the shortcut the better predictor in training.
"""
SHORTCUT_GROUPS = tuple(f"{shape}, {background}" for shape in SHORTCUT_CLASSES for background in SHORTCUT_BACKGROUNDS)


@dataclass(frozen=True)
class LabelledLayout:
    """A layout with its class and group, -1 where the kind of scene has none."""

    layout: Layout
    label: int = -1
    group: int = -1


def satisfies(values: Mapping[str, str], rule: Mapping[str, str]) -> bool:
    return all(values[factor] == value for factor, value in rule.items())


def sample_class(generator: np.random.Generator, label: int) -> LabelledLayout:
    """A scene of one of the ten classes: redrawn until it satisfies no other class's rule."""
    rules = tuple(CLASS_RULES.values())
    while True:
        layout = sample_layout(generator, rules[label], CLASS_SMALL_RADII)
        if sum(satisfies(layout.values, rule) for rule in rules) == 1:
            return LabelledLayout(layout, label)


def sample_shortcut(generator: np.random.Generator, label: int, split: str) -> LabelledLayout:
    """A scene of the shortcut task; `split` decides how often background and shape agree with the class."""
    agrees = generator.random() < SHORTCUT_CORRELATION.get(split, 0.5)
    background = label if agrees else 1 - label
    mislabelled = generator.random() < SHORTCUT_WRONG_LABELS.get(split, 0.0)
    fixed = {"shape": SHORTCUT_CLASSES[1 - label if mislabelled else label], "background": SHORTCUT_BACKGROUNDS[background]}
    return LabelledLayout(sample_layout(generator, fixed), label, 2 * label + background)
