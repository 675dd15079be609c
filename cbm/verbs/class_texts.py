"""Text embeddings of the names of classes and concepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbm.core.errors import MissingWeightsError, NotFoundError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from cbm.embeddings.sets import EmbeddingSet
    from cbm.names.vocabulary import Vocabulary

TEMPLATE = "a photo of a {}."


def class_texts(
    images: EmbeddingSet, vocabulary: Vocabulary | None, device: str, templates: Sequence[str] = (TEMPLATE,)
) -> Float32[np.ndarray, "classes dim"] | None:
    """From the vocabulary if it holds them all, else from the backbone if it is here; None where they cannot be had."""
    from cbm.study.opened import backbone_of

    names = [name.replace("_", " ").casefold() for name in images.classes]
    if not names:
        return None
    if vocabulary is not None:
        rows = {word.casefold(): row for row, word in enumerate(vocabulary.names)}
        if all(name in rows for name in names):
            return vocabulary.embeddings[[rows[name] for name in names]]
    if images.backbone.is_foreign:
        # Imported vectors come without weights, and loading the tag could download them.
        return None
    try:
        backbone = backbone_of(images.backbone, None, device)
    except (MissingWeightsError, NotFoundError):
        return None
    # A checkpoint is remembered by its file name, and another file of that name may lie here.
    if not backbone.reference.matches(images.backbone):
        return None
    return backbone.encode_texts(names, templates=tuple(templates))


def concept_texts(names: Sequence[str], vocabulary: Vocabulary | None) -> Float32[np.ndarray, "concepts dim"] | None:
    """From the vocabulary, with zeros for a name that it lacks; None where it has none of them."""
    import numpy as np

    if vocabulary is None:
        return None
    rows = {word.casefold(): row for row, word in enumerate(vocabulary.names)}
    found = np.array([rows.get(name.casefold(), -1) for name in names], np.int64)
    if not (found >= 0).any():
        return None
    return np.where(found[:, None] >= 0, vocabulary.embeddings[found], np.float32(0))
