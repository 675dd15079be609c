"""What can be true of a scene: the factors, their values, and the words that captions use for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TruthConcept:
    """One statement that is true or false of every scene."""

    name: str
    """The bare word that names it, unique in the world."""
    factor: str
    """The factor it is a value of; `extra` for the independent small things."""
    has_place: bool
    """Whether it has pixels of its own, hence a mask; in this world all have."""
    words: tuple[str, ...]
    """The name first, then every synonym and plural that captions use."""


SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "diamond", "arrow")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 40, 44),
    "orange": (248, 136, 20),
    "yellow": (252, 216, 40),
    "green": (36, 176, 60),
    "blue": (34, 92, 230),
    "purple": (132, 46, 190),
    "pink": (250, 128, 190),
    "black": (24, 24, 28),
}
PATTERNS = ("plain", "striped", "dotted", "checkered")
BACKGROUNDS = ("meadow", "sea", "desert", "night", "snow", "brick")
SIZES = ("small", "large")
POSITIONS = ("left", "right", "top", "bottom")
COUNTS = ("one", "two", "three")
EXTRAS = ("sun", "moon", "cloud", "bird", "tree", "house", "flag", "boat", "mushroom")

FACTORS: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "background": BACKGROUNDS,
}
"""The factors of which every scene has exactly one value; extras come on top, each present or not."""

UNNAMED_FACTORS: dict[str, tuple[str, ...]] = {"size": SIZES, "position": POSITIONS, "count": COUNTS}
"""Factors that vary, but that no caption names and no truth concept is made of: each of their values holds for a quarter to a half of all
scenes, too many for a latent of its own in a sparse dictionary (docs/demo-backbone.md has the figures)."""

_SYNONYMS: dict[str, tuple[str, ...]] = {
    "circle": ("circles",),
    "square": ("squares",),
    "triangle": ("triangles",),
    "star": ("stars",),
    "heart": ("hearts",),
    "cross": ("crosses",),
    "diamond": ("diamonds",),
    "arrow": ("arrows",),
    "plain": ("solid",),
    "striped": ("stripes",),
    "dotted": ("dots",),
    "checkered": ("checks",),
    "meadow": ("grass",),
    "sea": ("waves",),
    "desert": ("sand",),
    "brick": ("brick wall",),
}


def _concept(name: str, factor: str) -> TruthConcept:
    return TruthConcept(name, factor, True, (name, *_SYNONYMS.get(name, ())))


CONCEPTS: tuple[TruthConcept, ...] = tuple(
    [_concept(value, factor) for factor, values in FACTORS.items() for value in values] + [_concept(name, "extra") for name in EXTRAS]
)
"""Every truth concept, in the order of the truth vector."""

CONCEPT_INDEX: dict[str, int] = {concept.name: index for index, concept in enumerate(CONCEPTS)}
