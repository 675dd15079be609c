"""Which words of a vocabulary become concepts: not those that say the class, not those too alike, not those that no image shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int

from cbm.bottlenecks.part import Material
from cbm.core.arrays import unit_rows
from cbm.core.errors import InvalidInputError
from cbm.core.settings import Range
from cbm.names.vocabulary import Vocabulary

_STEP = 4096


@dataclass(frozen=True)
class WordSettings:
    """What every method takes that makes concepts of words."""

    class_similarity: Annotated[float | None, Range(0, 1)] = 0.9
    """Words whose text embedding has a higher cosine with a class name's are left out, as are words that contain a class name or are
    part of one: a concept that says the class explains nothing. 1 judges by spelling alone."""
    keep_class_names: bool = False
    """Keep even the class names among the concepts. Accuracy then says how well CLIP knows the classes, not how good the concepts are."""
    most_words: Annotated[int | None, Range(1)] = 2000
    """At most so many words, those whose scores vary most between these images."""


@dataclass(frozen=True)
class ChosenWords:
    """Rows of a vocabulary that become concepts."""

    rows: Int[np.ndarray, " chosen"]
    names: tuple[str, ...]
    class_like: int
    """Words left out because they say a class."""


def choose_words(material: Material, settings: WordSettings) -> ChosenWords:
    """
    Raises:
        InvalidInputError: no vocabulary, or no word is left.
    """
    words = material.required_words()
    kept = np.ones(len(words), bool)
    if not settings.keep_class_names:
        kept = ~class_like(words, material.classes, material.class_texts, settings.class_similarity)
    rows = np.flatnonzero(kept)
    if len(rows) == 0:
        raise InvalidInputError(f"Every word of {words.source} says one of the classes; give a list of attributes, parts or scenes.")
    if settings.most_words is not None and len(rows) > settings.most_words:
        spread = score_spread(words.embeddings[rows], material.embeddings)
        rows = np.sort(rows[np.argsort(-spread, kind="stable")[: settings.most_words]])
    return ChosenWords(rows, tuple(words.names[row] for row in rows), int((~kept).sum()))


def class_like(
    words: Vocabulary, classes: Sequence[str], class_texts: Float[np.ndarray, "classes dim"] | None, similarity: float | None
) -> np.ndarray:
    """Which words say a class: by their spelling, and by their text embedding where the classes have one. [words] bool."""
    tokens = [_tokens(name) for name in words.names]
    named = [_tokens(name) for name in classes]
    found = np.array([any(_contains(word, name) or _contains(name, word) for name in named) for word in tokens], bool)
    if similarity is not None and class_texts is not None and len(class_texts):
        found |= (words.embeddings @ class_texts.T).max(axis=1) > similarity
    return found


def score_spread(texts: Float[np.ndarray, "words dim"], embeddings: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " words"]:
    """Standard deviation of every word's cosine over the images."""
    mean = embeddings.mean(axis=0, dtype=np.float64)
    total = np.zeros(len(texts))
    for start in range(0, len(embeddings), _STEP):
        centred = unit_rows(np.asarray(embeddings[start : start + _STEP], np.float32)) - unit_rows(mean[None].astype(np.float32))
        scores = centred @ texts.T
        total += np.einsum("rw,rw->w", scores, scores, dtype=np.float64)
    return np.sqrt(total / max(1, len(embeddings)))


def _tokens(name: str) -> tuple[str, ...]:
    """Words in lower case and in the singular as far as a final s tells: "Sea_Horses" -> ("sea", "horse")."""
    split = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return tuple(part.casefold().removesuffix("s") if len(part) > 3 else part.casefold() for part in split)


def _contains(longer: tuple[str, ...], shorter: tuple[str, ...]) -> bool:
    """Whether the words of one name appear, in one run, in another."""
    size = len(shorter)
    return bool(size) and any(longer[start : start + size] == shorter for start in range(len(longer) - size + 1))
