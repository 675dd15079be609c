"""Which rows of an embedding set a model is trained on, and which it is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Int

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.embeddings.sets import EmbeddingSet, load_set
from cbm.heads.base import stratified_split
from cbm.workspace.ids import ArtifactId
from cbm.workspace.rows import AllRows, ChosenRows, HeldOutFifth, InSplit, OutsideSplit, RestOfFifth, RowChoice, RowSelection
from cbm.workspace.workspace import Workspace

TEST_SPLITS = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Rows:
    """Some rows of an embedding set, with how they were chosen, so that they can be found again."""

    source: EmbeddingSet
    rows: Int[np.ndarray, " rows"]
    selection: RowSelection

    @property
    def embeddings(self) -> Float32[np.ndarray, "rows dim"]:
        return self.source.embeddings if self.selection == RowSelection() else self.source.embeddings[self.rows]

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
                "use a set with the classes it was trained on."
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
            raise InvalidInputError(f"No image of {self.source.id} has a label; a head needs labelled images (one folder per class, say).")
        return Rows(self.source, kept, self.selection if len(kept) == len(self.rows) else replace(self.selection, labelled=True))

    @property
    def chosen(self) -> ChosenRows:
        """What has to be remembered to find them again."""
        return ChosenRows(ArtifactId(self.source.id), self.selection, len(self.rows), self.source.name)


def renumbered(labels: Int[np.ndarray, " rows"], names: Sequence[str], classes: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """Labels that count in `names`, counted in `classes` instead; -1 where there is no label, or its name is not among them.

    >>> renumbered(np.array([0, 1, -1]), ("dog", "cow"), ("cat", "dog")).tolist()
    [1, -1, -1]
    """
    number = {name: index for index, name in enumerate(classes)}
    return np.array([*(number.get(name, -1) for name in names), -1])[labels]


def all_rows(source: EmbeddingSet) -> Rows:
    return Rows(source, np.arange(len(source)), RowSelection())


def select_rows(source: EmbeddingSet, selection: RowSelection) -> Rows:
    """The rows of a set that a selection means."""
    rows = _choose(source, selection.choice)
    return rows.labelled() if selection.labelled else rows


def _choose(source: EmbeddingSet, choice: RowChoice) -> Rows:
    match choice:
        case AllRows():
            rows = np.arange(len(source))
        case InSplit(name):
            rows = np.flatnonzero(source.split(name))
        case OutsideSplit(name):
            rows = np.flatnonzero(~source.split(name))
        case RestOfFifth(seed):
            rows, _ = stratified_split(source.labels, TEST_SHARE, seed)
        case HeldOutFifth(seed):
            _, rows = stratified_split(source.labels, TEST_SHARE, seed)
    return Rows(source, rows, RowSelection(choice))


def training_and_test(source: EmbeddingSet, test: EmbeddingSet | None, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to test on: two sets, the splits of one, or four fifths and a fifth of one, class by class."""
    if test is not None:
        return all_rows(source).labelled(), all_rows(test).labelled()
    for split in TEST_SPLITS:
        marked = source.split(split)
        if marked.any() and not marked.all():
            return _choose(source, OutsideSplit(split)).labelled(), _choose(source, InSplit(split)).labelled()
    return _choose(source, RestOfFifth(seed)).labelled(), _choose(source, HeldOutFifth(seed)).labelled()


def training_rows(source: EmbeddingSet, seed: int) -> Rows:
    """What may be learned from before anybody tests: all but the test split, or four fifths; unlabelled images among them."""
    for split in TEST_SPLITS:
        marked = source.split(split)
        if marked.any() and not marked.all():
            return _choose(source, OutsideSplit(split))
    return _choose(source, RestOfFifth(seed)) if source.labelled.any() else all_rows(source)


def find_rows(workspace: Workspace, chosen: ChosenRows) -> Rows:
    """The rows that were chosen, in a workspace that has their set."""
    return select_rows(load_set(workspace, chosen.embeddings), chosen.selection)
