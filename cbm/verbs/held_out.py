"""Which rows of an embedding set a model is trained on, and which it is measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.embeddings.sets import EmbeddingSet
from cbm.heads.base import stratified_split
from cbm.verbs.common import load_set
from cbm.workspace.workspace import Workspace

TEST_SPLITS = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Rows:
    """Some rows of an embedding set, with how they were chosen, so that they can be found again."""

    source: EmbeddingSet
    rows: Int[np.ndarray, " rows"]
    selection: str
    """`all`, `split <name>`, `fifth <seed>` (the held-out fifth) or `rest <seed>`."""

    @property
    def embeddings(self) -> Float32[np.ndarray, "rows dim"]:
        return self.source.embeddings if self.selection == "all" else self.source.embeddings[self.rows]

    @property
    def labels(self) -> Int[np.ndarray, " rows"]:
        return self.source.labels[self.rows]

    def labels_among(self, classes: Sequence[str]) -> Int[np.ndarray, " rows"]:
        """The labels in the numbering of `classes`: two sets number the same names differently when one lacks a class.

        Raises:
            MismatchError: an image is of a class that is not among them.
        """
        labels = renumbered(self.labels, self.source.classes, classes)
        strange = np.unique(self.labels[(labels < 0) & (self.labels >= 0)])
        if len(strange):
            names = ", ".join(self.source.classes[label] for label in strange[:5])
            raise MismatchError(
                f"{self.source.id} has images of {len(strange)} classes that the model does not know ({names}); "
                "take a set of the classes that it was trained on."
            )
        return labels

    @property
    def groups(self) -> Int[np.ndarray, " rows"]:
        return self.source.group_labels[self.rows]

    @property
    def items(self) -> list[str]:
        return self.source.items["item"].iloc[self.rows].tolist()

    def labelled(self) -> Rows:
        """Only the rows that have a label.

        Raises:
            InvalidInputError: none has.
        """
        kept = self.rows[self.labels >= 0]
        if len(kept) == 0:
            raise InvalidInputError(f"No image of {self.source.id} has a label; a head needs labelled images (one folder a class, say).")
        return Rows(self.source, kept, self.selection if len(kept) == len(self.rows) else f"{self.selection}, labelled")

    def record(self) -> dict[str, Any]:
        return {"embeddings": self.source.id, "selection": self.selection, "count": len(self.rows), "name": self.source.name}


def renumbered(labels: Int[np.ndarray, " rows"], names: Sequence[str], classes: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """Labels that count in `names`, counted in `classes` instead; -1 where there is no label, or its name is not among them."""
    number = {name: index for index, name in enumerate(classes)}
    return np.array([*(number.get(name, -1) for name in names), -1])[labels]


def all_rows(source: EmbeddingSet) -> Rows:
    return Rows(source, np.arange(len(source)), "all")


def select_rows(source: EmbeddingSet, selection: str, seed: int = 0) -> Rows:
    """The rows that `Rows.selection` describes."""
    base = selection.removesuffix(", labelled")
    rows = all_rows(source) if base == "all" else _selected(source, base)
    return rows.labelled() if selection != base else rows


def _selected(source: EmbeddingSet, selection: str) -> Rows:
    how, _, argument = selection.partition(" ")
    if how == "split":
        return Rows(source, np.flatnonzero(source.split(argument)), selection)
    if how == "not":
        return Rows(source, np.flatnonzero(~source.split(argument)), selection)
    rest, fifth = stratified_split(source.labels, TEST_SHARE, int(argument))
    return Rows(source, fifth if how == "fifth" else rest, selection)


def training_and_test(source: EmbeddingSet, test: EmbeddingSet | None, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to test on: two sets, the splits of one, or four fifths and a fifth of one, class by class."""
    if test is not None:
        return all_rows(source).labelled(), all_rows(test).labelled()
    for split in TEST_SPLITS:
        marked = source.split(split)
        if marked.any() and not marked.all():
            return _selected(source, f"not {split}").labelled(), _selected(source, f"split {split}").labelled()
    return _selected(source, f"rest {seed}").labelled(), _selected(source, f"fifth {seed}").labelled()


def test_rows_of(workspace: Workspace, record: Mapping[str, Any]) -> Rows:
    """The rows a model was tested on, from what it remembers of them."""
    return select_rows(load_set(workspace, record["embeddings"]), record["selection"])
