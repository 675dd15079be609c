"""Search in an image set by words, by a picture, or by one of its own items; and whether words and pictures can be encoded for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from cbm.backbones.architectures import DEMO
from cbm.backbones.catalogue import at_hand
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, MissingWeightsError, NotFoundError
from cbm.embeddings.search import Searcher
from cbm.study.image_sets import Found, mixed_order
from cbm.ui.access import quotas
from cbm.ui.frame import cache, resources
from cbm.ui.frame.resources import SharedBackbone
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from PIL.Image import Image

NEAREST = 120
"""Results that are shown; five pages."""
_DEEPEST = 2000
"""Results that are looked through where a class or a split is asked for as well."""
_LOOK_AGAIN = 120
"""Seconds until weights that were not there are looked for again."""


@cache.remember("Opening the index …")
def _searcher(root: str, identifier: str) -> Searcher:
    """The index of an image set; exact up to 200,000 images, built where it is missing."""
    return Searcher.open(Workspace(root), resources.embedding_set(root, identifier))


def why_not(root: str, identifier: str) -> str | None:
    """Why words and pictures cannot be encoded for a set, for its user; None where they can be. Never downloads anything."""
    reference = resources.embedding_set(root, identifier).backbone
    return _trouble(root, identifier, reference.fingerprint) or None


@st.cache_data(ttl=_LOOK_AGAIN, max_entries=128, show_spinner=False)
def _trouble(root: str, identifier: str, fingerprint: str) -> str:
    reference = resources.embedding_set(root, identifier).backbone
    pretrained = _checkpoint(root, identifier, reference)
    try:
        there = at_hand(reference.architecture, pretrained)
    except CbmError:
        there = False
    name = reference.architecture if pretrained is None else f"{reference.architecture} · {reference.pretrained}"
    if there:
        return ""
    came = "These vectors were computed elsewhere, and the" if reference.is_foreign else "The"
    return (
        f"{came} weights of {name} are not on this machine, so words and new pictures cannot be searched for. "
        "“Like this” works without them."
    )


def _checkpoint(root: str, identifier: str, reference: BackboneReference) -> str | None:
    """What to load the set's backbone by: a tag as it is; of a file the set knows only the name, so the job that made it is asked."""
    if reference.architecture == DEMO:
        return None
    if Path(reference.pretrained).suffix not in (".safetensors", ".pt", ".pth", ".bin", ".ckpt"):
        return reference.pretrained
    for job in resources.jobs(root).list():
        if job.kind == "embed" and job.result is not None and job.result.get("embeddings") == identifier:
            return str(job.parameters.get("pretrained") or reference.pretrained)
    return reference.pretrained


def _backbone(root: str, identifier: str) -> SharedBackbone:
    problem = why_not(root, identifier)
    if problem is not None:
        raise MissingWeightsError(problem)
    reference = resources.embedding_set(root, identifier).backbone
    return resources.backbone(reference.architecture, _checkpoint(root, identifier, reference))


@cache.remember()
def browsing_order(root: str, identifier: str) -> np.ndarray:
    """The order in which a set is shown where nothing is asked for."""
    return mixed_order(resources.embedding_set(root, identifier))


def by_text(root: str, identifier: str, text: str, allowed: np.ndarray | None = None) -> Found:
    """The images nearest to what a visitor typed.

    Raises:
        MissingWeightsError: the backbone is not available.
        MismatchError: the weights on this machine are not those that made the set.
        LimitError: the text is too long, or too many were encoded.
    """
    quotas.check_text(text, "The search")
    return _kept(_by_text(root, identifier, " ".join(text.split())), allowed)


@cache.remember("Searching …")
def _by_text(root: str, identifier: str, text: str) -> Found:
    quotas.check_encoding()
    shared = _backbone(root, identifier)
    with shared.lock:
        result = _searcher(root, identifier).by_text(text, shared.backbone, _DEEPEST)
    return _found(result.rows[0], result.scores[0])


def by_image(root: str, identifier: str, picture: Image, digest: str, allowed: np.ndarray | None = None) -> Found:
    """The images nearest to an uploaded picture, which `digest` identifies.

    Raises:
        MissingWeightsError, MismatchError, LimitError: as `by_text`.
    """
    return _kept(_by_image(root, identifier, digest, picture), allowed)


@cache.remember("Searching …")
def _by_image(root: str, identifier: str, digest: str, _picture: Image) -> Found:
    quotas.check_encoding()
    shared = _backbone(root, identifier)
    with shared.lock:
        result = _searcher(root, identifier).by_image(_picture, shared.backbone, _DEEPEST)
    return _found(result.rows[0], result.scores[0])


def by_item(root: str, identifier: str, row: int, allowed: np.ndarray | None = None) -> Found:
    """The images nearest to one of the set; needs no backbone.

    Raises:
        NotFoundError: the set has no such row.
    """
    if not 0 <= row < len(resources.embedding_set(root, identifier)):
        raise NotFoundError(f"The link asks for images like number {row}, which this set does not have. Clear the search.")
    result = _searcher(root, identifier).by_item(row, _DEEPEST)
    return _kept(_found(result.rows[0], result.scores[0]), allowed)


def _found(rows: np.ndarray, scores: np.ndarray) -> Found:
    there = rows >= 0
    return Found(tuple(int(row) for row in rows[there]), tuple(float(score) for score in scores[there]))


def _kept(found: Found, allowed: np.ndarray | None) -> Found:
    """The best results, of those that pass the filters."""
    pairs = list(zip(found.rows, found.scores, strict=True))
    if allowed is not None:
        wanted = set(allowed.tolist())
        pairs = [pair for pair in pairs if pair[0] in wanted]
    return Found(tuple(row for row, _ in pairs[:NEAREST]), tuple(score for _, score in pairs[:NEAREST]))
