"""Which words of a vocabulary become concepts: not those that name one of the classes, and of many those that vary most over the images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    part of one: a concept that names the class explains nothing. 1 judges by spelling alone."""
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
    """Words left out because they name one of the classes."""
    class_texts: bool
    """Whether that was judged by text embeddings too, and not by spelling alone."""

    @property
    def figures(self) -> dict[str, float]:
        """What every method on words reports of them."""
        return {"class_like_words": self.class_like, "class_texts": float(self.class_texts)}


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
        raise InvalidInputError(f"Every word of {words.source} names one of the classes; give a list of attributes, parts or scenes.")
    if settings.most_words is not None and len(rows) > settings.most_words:
        spread = score_spread(words.embeddings[rows], material.embeddings)
        rows = np.sort(rows[np.argsort(-spread, kind="stable")[: settings.most_words]])
    judged = not settings.keep_class_names and settings.class_similarity is not None and material.class_texts is not None
    return ChosenWords(rows, tuple(words.names[row] for row in rows), int((~kept).sum()), judged)


def class_like(
    words: Vocabulary, classes: Sequence[str], class_texts: Float[np.ndarray, "classes dim"] | None, similarity: float | None
) -> np.ndarray:
    """Which words name one of the classes: by their spelling, and by their text embedding where the classes have one. [words] bool."""
    found = class_like_names(words.names, classes)
    if similarity is not None and class_texts is not None and len(class_texts):
        found |= (words.embeddings @ class_texts.T).max(axis=1) > similarity
    return found


def class_like_names(names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """Which names contain a class name, as whole words in one run, or are part of one. [names] bool."""
    named = [_tokens(name) for name in classes]
    whole, parts = set(named), {run for name in named for run in _runs(name)}
    words = [_tokens(name) for name in names]
    return np.array([word in parts or not whole.isdisjoint(_runs(word)) for word in words], bool)


def score_spread(texts: Float[np.ndarray, "words dim"], embeddings: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, " words"]:
    """Standard deviation of every word's cosine over the images."""
    chunks = range(0, len(embeddings), _STEP)
    total_row = np.zeros(embeddings.shape[1])
    for start in chunks:
        total_row += unit_rows(np.asarray(embeddings[start : start + _STEP], np.float32)).sum(axis=0, dtype=np.float64)
    mean = (total_row / max(1, len(embeddings))).astype(np.float32)
    total = np.zeros(len(texts))
    for start in chunks:
        scores = (unit_rows(np.asarray(embeddings[start : start + _STEP], np.float32)) - mean) @ texts.T
        total += np.einsum("rw,rw->w", scores, scores, dtype=np.float64)
    return np.sqrt(total / max(1, len(embeddings)))


def _tokens(name: str) -> tuple[str, ...]:
    """Words in lower case and in the singular as far as a final s tells: "Sea_Horses" -> ("sea", "horse")."""
    split = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return tuple(part.casefold().removesuffix("s") if len(part) > 3 else part.casefold() for part in split)


def _runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every stretch of neighbouring words."""
    return (words[start:end] for start in range(len(words)) for end in range(start + 1, len(words) + 1))
