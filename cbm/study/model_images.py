"""The held-out images of a concept model: what they are called, where their pictures are, their classes and groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from cbm.core.errors import NotFoundError
from cbm.embeddings.sets import EmbeddingSet
from cbm.model.concept_model import ConceptModel
from cbm.study.held_out import renumbered


@dataclass(frozen=True, eq=False)
class ModelImages:
    """An embedding set in the terms of a model: row by row, with the classes numbered as the model numbers them."""

    model: ConceptModel
    held_out: EmbeddingSet

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.model.classes

    @property
    def image_count(self) -> int:
        return len(self.items)

    @cached_property
    def items(self) -> tuple[str, ...]:
        return tuple(self.held_out.items["item"].astype(str))

    @cached_property
    def uris(self) -> tuple[str, ...]:
        return tuple(self.held_out.items["uri"].astype(str))

    @cached_property
    def labels(self) -> Int[np.ndarray, " images"]:
        """Class of every image as the model counts classes; −1 where it has no label, or one that the model does not know."""
        return renumbered(self.held_out.labels, self.held_out.classes, self.model.classes)

    @property
    def labelled_images(self) -> int:
        return int((self.labels >= 0).sum())

    @cached_property
    def group_labels(self) -> Int[np.ndarray, " images"] | None:
        """Group of every image, −1 where it has none; None without groups."""
        groups = self.held_out.items["group"].to_numpy(dtype=np.int64)
        return groups if len(self.held_out.groups) and (groups >= 0).any() else None

    @cached_property
    def _row_of_item(self) -> dict[str, int]:
        return {item: row for row, item in reversed(list(enumerate(self.items)))}

    def row_of(self, item: str) -> int:
        """The row of an item.

        Raises:
            NotFoundError: no held-out image is called so.
        """
        row = self._row_of_item.get(item)
        if row is None:
            raise NotFoundError(f"No held-out image is called {item!r}. Choose one of those shown.")
        return row

    def item(self, row: int) -> str:
        return self.items[row]

    def truth_of(self, row: int) -> str | None:
        return None if self.labels[row] < 0 else self.class_names[self.labels[row]]

    def group_of(self, row: int) -> str | None:
        return None if self.group_labels is None or self.group_labels[row] < 0 else self.held_out.groups[self.group_labels[row]]
