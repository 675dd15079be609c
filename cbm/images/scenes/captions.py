"""What can be said of a scene: full sentences, fragments and single words, and the names that a demo may choose from."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from cbm.images.scenes.factors import CONCEPTS, FACTORS

TEMPLATES = ("{}", "{}", "{}", "a photo of {}", "a picture of {}", "an image of {}", "a scene with {}")
WORD_TEMPLATES = ("{}", "{}", "{}", "{}", "a {}", "the {}", "a photo of a {}", "a photo of {}", "a picture of {}", "something {}")

_WORDS = {concept.name: concept.words for concept in CONCEPTS}
_PLACES = {
    "meadow": ("in a meadow", "on the grass"),
    "sea": ("at sea", "in the sea", "on the waves"),
    "desert": ("in the desert", "on the sand"),
    "night": ("at night", "in the night"),
    "snow": ("in the snow", "on snow"),
    "brick": ("on a brick wall", "on brick"),
}
_PLURALS = {"cross": "crosses"}
_ADJECTIVES = ("pattern", "colour")


def compose(claims: Mapping[str, str], extras: Collection[str], generator: np.random.Generator, several: bool | None = None) -> str:
    """A caption that claims exactly `claims` (factor to value) and `extras`, in one of several wordings.

    `several` decides between singular and plural, which nobody may count on: None leaves it to chance.
    """

    def choose(options: tuple[str, ...]) -> str:
        return options[int(generator.integers(len(options)))]

    parts: list[str] = []
    if any(factor in claims for factor in ("shape", *_ADJECTIVES)):
        plural = generator.random() < 0.5 if several is None else several
        shape = claims.get("shape", "thing")
        noun = _PLURALS.get(shape, shape + "s") if plural else shape
        adjectives = [claims[factor] for factor in _ADJECTIVES if factor in claims]
        if generator.random() < 0.3:
            generator.shuffle(adjectives)
        lead = [] if plural or generator.random() < 0.4 else ["a"]
        parts.append(" ".join([*lead, *adjectives, noun]))
    if "background" in claims:
        parts.append(choose(_PLACES[claims["background"]]))
    if len(parts) > 1 and generator.random() < 0.25:
        generator.shuffle(parts)
    text = (" " if generator.random() < 0.7 else ", ").join(parts)
    if extras:
        names = list(extras)
        generator.shuffle(names)
        listed = " and ".join(f"a {name}" for name in names)
        text = f"{text} with {listed}" if text else listed
    return choose(TEMPLATES).format(text)


def random_claims(
    values: Mapping[str, str], extras: Collection[str], generator: np.random.Generator, share: float
) -> tuple[dict[str, str], list[str]]:
    """Each true claim kept with probability `share`, at least one."""
    claims = {factor: value for factor, value in values.items() if factor in FACTORS and generator.random() < share}
    kept = [name for name in extras if generator.random() < share]
    if not claims and not kept:
        factor = list(FACTORS)[int(generator.integers(len(FACTORS)))]
        claims = {factor: values[factor]}
    return claims, kept


def word_caption(name: str, generator: np.random.Generator) -> str:
    """A caption that claims one concept only: its name, or a synonym, mostly bare."""
    words = _WORDS[name]
    word = words[0] if generator.random() < 0.7 else words[int(generator.integers(len(words)))]
    return WORD_TEMPLATES[int(generator.integers(len(WORD_TEMPLATES)))].format(word)


SEEN_DISTRACTORS = (
    "white", "grey", "brown", "beige", "turquoise", "golden", "hexagon", "pentagon", "oval", "rectangle", "spiral", "ring",
    "zigzag", "furry", "glossy", "wooden", "forest", "city", "kitchen", "road", "beach", "mountain", "four", "five", "many",
    "dog", "cat", "horse", "fish", "car", "train", "bicycle", "apple", "bread", "table", "chair",
)  # fmt: skip
"""Words that training captions use and that are true of no scene."""

UNSEEN_DISTRACTORS = (
    "violet", "crimson", "indigo", "silver", "cylinder", "pyramid", "cube", "octagon", "plaid", "marbled", "velvet", "jungle",
    "river", "street", "garden", "bridge", "tower", "castle", "window", "lamp", "rain", "storm", "fog", "small", "large", "left", "right",
    "top", "bottom", "one", "two", "three", "huge", "narrow", "middle", "corner",
    "dozen", "butterfly", "rabbit", "flower", "leaf", "rocket", "guitar", "clock", "umbrella", "bottle", "shoe", "hat", "book",
)  # fmt: skip
"""Words that no caption ever uses."""

PHRASES = (
    "red circle", "yellow star", "blue square", "green triangle", "striped heart", "dotted cross", "checkered square", "plain arrow",
    "pink diamond", "black heart", "small circle", "large star", "two squares", "three hearts", "a tree and a house", "a boat at sea",
    "snow at night", "bird in a cloud", "purple stripes", "orange dots",
)  # fmt: skip
"""Phrases of two concepts each: names that are nearly right, hence the hardest to beat."""


def scene_vocabulary() -> tuple[str, ...]:
    """The names a demo chooses from: every truth concept, and more than twice as many words and phrases that name none."""
    return (*(concept.name for concept in CONCEPTS), *SEEN_DISTRACTORS, *UNSEEN_DISTRACTORS, *PHRASES)
