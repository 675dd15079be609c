"""Search in an embedding set by text, by picture and by item."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cbm.embeddings.index import SearchResult, VectorIndex
from cbm.embeddings.sets import EmbeddingSet
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from PIL.Image import Image

    from cbm.backbones.backbone import Backbone


@dataclass(frozen=True)
class Searcher:
    """An embedding set with its index."""

    embeddings: EmbeddingSet
    index: VectorIndex

    @classmethod
    def open(cls, workspace: Workspace, embeddings: EmbeddingSet) -> Searcher:
        """The set with the index that the workspace keeps for it, built where it is missing or stale."""
        return cls(embeddings, VectorIndex(index_folder(workspace, embeddings.id), embeddings.embeddings))

    def by_item(self, item: str | int, k: int = 20) -> SearchResult:
        """Neighbours of an item of the set (name, URI or row), without itself."""
        row = item if isinstance(item, int) else self.embeddings.find(item)
        found = self.index.search(np.asarray(self.embeddings.embeddings[row : row + 1]), k + 1)
        others = found.rows[0] != row
        return SearchResult(found.rows[:, others][:, :k], found.scores[:, others][:, :k])

    def by_text(self, text: str, backbone: Backbone, k: int = 20, templates: tuple[str, ...] = ("{}",)) -> SearchResult:
        """Items nearest to a text.

        Raises:
            MismatchError: the set was made by another backbone.
        """
        self.embeddings.backbone.require_match(backbone.reference, "the embeddings and the query")
        return self.index.search(backbone.encode_texts([text], templates), k)

    def by_image(self, image: Image, backbone: Backbone, k: int = 20) -> SearchResult:
        """Items nearest to a picture.

        Raises:
            MismatchError: the set was made by another backbone.
        """
        self.embeddings.backbone.require_match(backbone.reference, "the embeddings and the query")
        return self.index.search(backbone.encode_images([image]), k)


def index_folder(workspace: Workspace, identifier: str) -> Path:
    """Where the workspace keeps the derived index of an embedding set; it may be deleted at any time."""
    return workspace.root / "indexes" / identifier
