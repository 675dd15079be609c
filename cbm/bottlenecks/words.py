"""Words as concepts: how similar an image is to each word of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbm.bottlenecks.part import FittedBottleneck, Material, MethodPart
from cbm.bottlenecks.word_filters import WordSettings
from cbm.core.run import Run

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float


@dataclass(frozen=True)
class WordsSettings(WordSettings):
    pass


def fit(material: Material, settings: WordsSettings, run: Run) -> FittedBottleneck:
    """Cosine of image and word, both about the mean of their kind, standardised on the training images."""
    from cbm.bottlenecks.linear import LinearConcepts
    from cbm.bottlenecks.word_filters import choose_words

    chosen = choose_words(material, settings)
    weight = centred_texts(material.required_words().embeddings)[chosen.rows]
    run.report(1, 1, "Scoring the words")
    bottleneck = LinearConcepts.standardised(weight, chosen.names, material.embeddings)
    return FittedBottleneck(bottleneck, chosen.figures)


def centred_texts(texts: Float[np.ndarray, "words dim"]) -> Float[np.ndarray, "words dim"]:
    """Unit rows about the mean of all words: what a word says beyond being a text."""
    from cbm.core.arrays import unit_rows

    return unit_rows(texts - texts.mean(axis=0)) if len(texts) > 1 else unit_rows(texts)


PART = MethodPart(
    "words",
    "The words of a list are the concepts, and an image's scores are its similarities to them. Nothing is learned.",
    WordsSettings,
    label="Words",
    source="Radford et al. 2021 (CLIP), section 3.1; Yang et al. 2023 (LaBo), section 3.3, without its head",
    needs=lambda settings: ("words",),
    fit=fit,
)
