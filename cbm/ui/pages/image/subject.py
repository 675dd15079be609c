"""The image that the image page is about: a held-out one, or one that the visitor uploaded. No Streamlit in here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Float32
from PIL import Image

from cbm.core.errors import CbmError
from cbm.embeddings.sets import to_space
from cbm.study.study import Study
from cbm.ui.frame import encoders
from cbm.ui.widgets import heatmaps

UPLOADED = "upload:"
"""What the names of uploaded images begin with, so that no edit and no address ever takes one for a held-out image."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One image with what the model needs to judge it."""

    item: str
    title: str
    row: int | None
    """Row of the held-out images; None for an uploaded one."""
    codes: scipy.sparse.csr_matrix
    """Its unedited activations, [1, concepts]."""
    embedding: Float32[np.ndarray, " dim"]
    """In the space of the model."""
    truth: str | None
    uri: str | None
    """Where its picture is; None for an uploaded one."""
    picture: Image.Image | None = None
    """The uploaded picture."""
    patches: Float32[np.ndarray, "rows columns dim"] | None = None
    """Patch embeddings of an uploaded picture, which nothing else keeps; None where the backbone has none."""


def held_out(study: Study, row: int) -> Subject:
    """An image of the held-out set."""
    truth = None if study.labels[row] < 0 else study.classes[study.labels[row]]
    embedding = np.asarray(study.held_out.embeddings[row], np.float32)
    item = study.item(row)
    return Subject(item, item, row, study.scored.codes[row], embedding, truth, study.uris[row])


def uploaded(study: Study, name: str, picture: Image.Image) -> Subject:
    """A picture from outside, encoded by the backbone that made the model's embeddings.

    Raises:
        MissingWeightsError: that backbone is not at hand.
    """
    shared = encoders.encoder(study)
    with shared.lock:
        raw = shared.backbone.encode_images([picture])
    embedding = to_space(raw, study.model.space)[0]  # type: ignore[arg-type]
    try:
        patches = heatmaps.encode_patches(study, picture)
    except CbmError:
        patches = None  # not every image tower has patches; the prediction needs none
    codes = study.model.encode(embedding[None]).to_csr()
    digest = hashlib.sha256(picture.tobytes()).hexdigest()[:16]
    return Subject(f"{UPLOADED}{digest}", name, None, codes, embedding, None, None, picture, patches)


def rows_to_choose(study: Study, *, wrong_only: bool, truth: str | None, search: str) -> list[int]:
    """Held-out rows that pass the filters; the search looks for a part of the item's name."""
    rows = study.rows(wrong_only=wrong_only, truth=truth)
    key = search.strip().casefold()
    return [row for row in rows if key in study.items[row].casefold()] if key else rows


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


def concepts_at(study: Study, subject: Subject, patches: Float32[np.ndarray, "rows columns dim"], patch: int) -> tuple[PatchConcept, ...]:
    """The concepts that fire at one patch, the strongest first.

    Args:
        patch: its number, counted along the rows from the top left.
    """
    codes = heatmaps.codes_by_patch(study, patches)
    whole = frozenset(subject.codes.indices.tolist())
    indices, values = codes.indices[patch], codes.values[patch]
    fires = values > 0
    order = np.argsort(-values[fires], kind="stable")
    return tuple(
        PatchConcept(int(concept), float(value), int(concept) in whole)
        for concept, value in zip(indices[fires][order], values[fires][order], strict=True)
    )
