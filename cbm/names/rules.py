"""Naming: which names of a vocabulary suit each latent of a dictionary, by one of `cbm.registry.RULES`.

Every rule scores all names for all latents, a chunk of names at a time, and keeps only the best candidates: 8192 latents × 20,000 names
are never in memory. `docs/naming.md` has the formulas, their sources, and how well each rule does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.names.part import Latents
from cbm.registry import RULES

DEFAULT_RULE = "combined"


@dataclass(frozen=True)
class Naming:
    """The best names of every latent, by one rule."""

    candidates: Int32[np.ndarray, "latents candidates"]
    """Indices into the vocabulary, best first."""
    scores: Float32[np.ndarray, "latents candidates"]
    rule: str
    threshold: float | None = None
    """A latent whose name scores below this stays unnamed."""
    chosen: Int32[np.ndarray, " latents"] | None = None
    """Position of each latent's name among its candidates, -1 for none left; all 0 (the best) where absent."""
    unique: str | None = None
    """How names were made unique: `greedy`, or not at all."""
    details: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def chosen_position(self) -> Int64[np.ndarray, " latents"]:
        """As `chosen`, with 0 where it is absent or none is left."""
        return np.zeros(len(self), np.int64) if self.chosen is None else np.maximum(self.chosen, 0).astype(np.int64)

    @property
    def names(self) -> Int32[np.ndarray, " latents"]:
        """Index into the vocabulary of each latent's name (meaningless where `named` is false)."""
        return self.candidates[np.arange(len(self)), self.chosen_position]

    @property
    def score(self) -> Float32[np.ndarray, " latents"]:
        """Score of each latent's name."""
        return self.scores[np.arange(len(self)), self.chosen_position]

    @property
    def named(self) -> Bool[np.ndarray, " latents"]:
        """Whether the latent has a name: one is left for it, with a finite score not below the threshold."""
        left = np.ones(len(self), bool) if self.chosen is None else self.chosen >= 0
        above = np.isfinite(self.score) if self.threshold is None else self.score >= self.threshold
        return left & above


def name_concepts(
    directions: Float[np.ndarray, "latents dim"],
    vocabulary_embeddings: Float[np.ndarray, "names dim"],
    *,
    rule: str = DEFAULT_RULE,
    codes: Codes | None = None,
    embeddings: Float[np.ndarray, "images dim"] | None = None,
    image_mean: Float[np.ndarray, " dim"] | None = None,
    text_mean: Float[np.ndarray, " dim"] | None = None,
    candidates: int = 5,
) -> Naming:
    """The best `candidates` names of every latent by `rule`.

    Args:
        directions: the dictionary's, in the space of mean-centred image embeddings.
        vocabulary_embeddings: text embeddings of the same backbone, not centred.
        codes: of `embeddings`, by the dictionary; needed by `soft-wpmi` and `combined`.
        embeddings: images to look at, not centred; needed by the same rules.
        image_mean: mean image embedding; that of `embeddings` when absent.
        text_mean: mean text embedding; that of the vocabulary when absent.

    Raises:
        InvalidInputError: an unknown rule, an empty vocabulary, shapes that do not fit, or a rule without the images it needs.
    """
    part = RULES[rule]
    if len(vocabulary_embeddings) == 0 or vocabulary_embeddings.shape[1] != directions.shape[1]:
        raise InvalidInputError(
            f"A vocabulary of shape {vocabulary_embeddings.shape} does not fit directions of dimension {directions.shape[1]}; "
            "encode the names with the backbone of the dictionary's embeddings."
        )
    directions = np.asarray(directions, np.float32)
    names = unit_rows(vocabulary_embeddings)
    centre_of_texts = names.mean(axis=0) if text_mean is None else np.asarray(text_mean, np.float32)
    if part.looks_at_images:
        codes, images = _required_images(rule, directions, codes, embeddings)
        centre = images.mean(axis=0) if image_mean is None else np.asarray(image_mean, np.float32)
    else:
        codes, images = Codes(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32), len(directions)), directions[:0]
        centre = np.zeros(directions.shape[1], np.float32)
    latents = Latents(directions, names, centre_of_texts, min(candidates, len(names)), codes, images, centre)
    best = part.score(latents, part.settings())
    return Naming(best.indices, best.scores, rule)


def _required_images(
    rule: str, directions: np.ndarray, codes: Codes | None, embeddings: np.ndarray | None
) -> tuple[Codes, Float32[np.ndarray, "images dim"]]:
    if codes is None or embeddings is None:
        raise InvalidInputError(f"The rule {rule!r} looks at images: give the codes and the embeddings of some, or use the rule 'centred'.")
    if codes.size != len(directions) or len(codes) != len(embeddings) or len(embeddings) == 0:
        raise InvalidInputError(
            f"Codes of {len(codes)} images over {codes.size} latents do not fit {len(embeddings)} embeddings, {len(directions)} directions."
        )
    return codes, np.asarray(embeddings, np.float32)
