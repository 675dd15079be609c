"""A picture from outside as a model sees it; which held-out images are near an image, and which concepts are at a patch of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image

from cbm.bottlenecks.heatmaps import patch_codes
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.embeddings.sets import to_space
from cbm.study.images import Subject
from cbm.study.study import Study

UPLOADED = "upload:"
"""What the names of uploaded images begin with, so that no edit and no address ever takes one for a held-out image."""


def from_outside(
    study: Study,
    name: str,
    picture: Image.Image,
    embedding: Float32[np.ndarray, " dim"],
    patches: Float32[np.ndarray, "rows columns dim"] | None,
) -> Subject:
    """A picture that is not in the held-out set.

    Args:
        embedding: raw, by the backbone that made the model's embeddings.
        patches: its raw patch embeddings, where that backbone has patches.
    """
    own = to_space(embedding[None], study.model.space)  # type: ignore[arg-type]
    digest = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
    return Subject(f"{UPLOADED}{digest}", name, None, study.model.encode(own).to_csr(), own[0], None, None, None, picture, patches)


@dataclass(frozen=True)
class Near:
    """One image near another."""

    row: int
    similarity: float
    """Cosine, −1 to 1."""


class Neighbours:
    """Finds the held-out images nearest to an image, by embedding and by concepts; lengths are computed once."""

    def __init__(self, study: Study) -> None:
        self._embeddings = np.asarray(study.held_out.embeddings)
        self._codes = study.scored.codes
        self._lengths = np.linalg.norm(self._embeddings, axis=1)
        self._code_lengths = np.sqrt(np.asarray(self._codes.multiply(self._codes).sum(axis=1)).ravel())

    def by_embedding(self, subject: Subject, count: int) -> tuple[Near, ...]:
        """By cosine of the embeddings: what the backbone finds alike."""
        lengths = self._lengths * float(np.linalg.norm(subject.embedding))
        return self._nearest(self._embeddings @ subject.embedding, lengths, subject.row, count)

    def by_concepts(self, subject: Subject, count: int) -> tuple[Near, ...]:
        """By cosine of the concept activations: what the model's concepts find alike."""
        code = subject.codes
        lengths = self._code_lengths * float(np.sqrt(code.multiply(code).sum()))
        products = np.asarray((self._codes @ code.T).todense()).ravel()
        return self._nearest(products, lengths, subject.row, count)

    @staticmethod
    def _nearest(products: np.ndarray, lengths: np.ndarray, itself: int | None, count: int) -> tuple[Near, ...]:
        cosine = np.divide(products, lengths, out=np.full(len(products), -1.0, np.float64), where=lengths > 0)
        if itself is not None:
            cosine[itself] = -np.inf
        best = np.argpartition(-cosine, min(count, len(cosine) - 1))[: count + 1]
        order = best[np.lexsort((best, -cosine[best]))][:count]
        return tuple(Near(int(row), float(cosine[row])) for row in order if np.isfinite(cosine[row]))


@dataclass(frozen=True)
class PatchConcept:
    """A concept that fires at a patch."""

    concept: int
    activation: float
    elsewhere: bool
    """Whether it also fires on the image as a whole."""


def codes_by_patch(study: Study, patches: Float32[np.ndarray, "rows columns dim"]) -> Codes:
    """The codes of every patch of one picture, row by row.

    Raises:
        InvalidInputError: the bottleneck does not respond to patches.
    """
    if not study.model.bottleneck.abilities.patches:
        raise InvalidInputError("This model's concepts are not directions of a dictionary, so they cannot be located in a picture.")
    return patch_codes(study.model.bottleneck, patches, study.model.space)


def concepts_at(study: Study, subject: Subject, patches: Float32[np.ndarray, "rows columns dim"], patch: int) -> tuple[PatchConcept, ...]:
    """The concepts that fire at one patch, the strongest first.

    Args:
        patch: its number, counted along the rows from the top left.
    """
    codes = codes_by_patch(study, patches)
    whole = frozenset(subject.codes.indices.tolist())
    indices, values = codes.indices[patch], codes.values[patch]
    fires = values > 0
    order = np.argsort(-values[fires], kind="stable")
    return tuple(
        PatchConcept(int(concept), float(value), int(concept) in whole)
        for concept, value in zip(indices[fires][order], values[fires][order], strict=True)
    )
