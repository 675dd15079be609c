"""Two models on the held-out images that they have in common: which is right where, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from cbm.core.errors import MismatchError
from cbm.editing.recipe import Recipe
from cbm.study.study import Study

Outcome = Literal["left", "right", "differently", "alike", "both"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """The held-out images that two models have in common, row by row."""

    left: Int[np.ndarray, " images"]
    """Rows of the first model's held-out images."""
    right: Int[np.ndarray, " images"]
    """The same images among the second's."""
    sets: tuple[str, str]
    """What the two test sets call themselves."""
    same_set: bool

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class ClassDifference:
    """One class that both models know."""

    name: str
    images: int
    left: float
    """Accuracy of the first model, 0 to 1."""
    right: float

    @property
    def change(self) -> float:
        return self.right - self.left


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two models make of the same images."""

    images: int
    """In common."""
    labelled: int
    """Of those, how many have a class that both models know."""
    agreement: float
    """Share of the common images on which both say the same."""
    rows: Mapping[Outcome, Int[np.ndarray, " _"]]
    """Positions in the alignment: only the first is right, only the second, both wrong and differently, both wrong alike, both right."""
    predicted: tuple[Int[np.ndarray, " images"], Int[np.ndarray, " images"]]
    """Each model's prediction, as it counts its own classes."""
    classes: tuple[ClassDifference, ...]
    """Those whose accuracy differs most first."""
    p_value: float | None
    """Exact McNemar test: how likely so uneven a split of the images on which one alone is right is by chance. None without any."""

    def count(self, outcome: Outcome) -> int:
        return len(self.rows[outcome])

    @property
    def left_accuracy(self) -> float | None:
        return (self.count("both") + self.count("left")) / self.labelled if self.labelled else None

    @property
    def right_accuracy(self) -> float | None:
        return (self.count("both") + self.count("right")) / self.labelled if self.labelled else None


def align(left: Study, right: Study) -> Alignment:
    """The images that both models were tested on: the same items of one set, or pictures of equal content in two.

    Raises:
        MismatchError: there are none.
    """
    sets = (left.held_out.name or left.held_out.id, right.held_out.name or right.held_out.id)
    same = left.held_out.id == right.held_out.id
    if same and (left is right or left.items == right.items):
        everything = np.arange(left.image_count)
        return Alignment(everything, everything, sets, same)
    first, second = _keys(left, same), _keys(right, same)
    rows = np.flatnonzero((first != "") & ~first.duplicated())
    found = pd.Index(second).drop_duplicates()
    place = pd.Series(np.arange(len(second)), index=second).groupby(level=0, sort=False).first()
    rows = rows[np.isin(first.iloc[rows].to_numpy(), found.to_numpy())]
    if len(rows) == 0:
        raise MismatchError(
            f"The two models have no held-out image in common: one was tested on {sets[0]}, the other on {sets[1]}. "
            "Choose a model that was tested on the same images, or train one that is."
        )
    others = place.loc[first.iloc[rows]].to_numpy(dtype=np.int64)
    return Alignment(rows.astype(np.int64), others, sets, same)


def _keys(study: Study, same_set: bool) -> pd.Series:
    """What tells an image from others: its name within one set; across sets its content, or where it lies."""
    items = study.held_out.items
    if same_set:
        return items["item"].astype(str).reset_index(drop=True)
    digest, uri = items["sha256"].fillna("").astype(str), items["uri"].fillna("").astype(str)
    return digest.where(digest != "", uri).reset_index(drop=True)


def compare(left: Study, right: Study, recipes: tuple[Recipe, Recipe], aligned: Alignment) -> Comparison:
    """Who is right where; classes are matched by their names."""
    predicted = left.predicted(recipes[0])[aligned.left], right.predicted(recipes[1])[aligned.right]
    names = list(dict.fromkeys([*left.class_names, *right.class_names]))
    number = {name: index for index, name in enumerate(names)}
    translate = [np.array([number[name] for name in study.class_names] + [-1]) for study in (left, right)]
    said = translate[0][predicted[0]], translate[1][predicted[1]]
    truths = translate[0][left.labels[aligned.left]], translate[1][right.labels[aligned.right]]
    known = (truths[0] >= 0) & (truths[0] == truths[1])
    right_ones = known & (said[0] == truths[0]), known & (said[1] == truths[0])
    masks: dict[Outcome, Bool[np.ndarray, " images"]] = {
        "left": right_ones[0] & ~right_ones[1],
        "right": right_ones[1] & ~right_ones[0],
        "differently": known & ~right_ones[0] & ~right_ones[1] & (said[0] != said[1]),
        "alike": known & ~right_ones[0] & ~right_ones[1] & (said[0] == said[1]),
        "both": right_ones[0] & right_ones[1],
    }
    rows = {outcome: np.flatnonzero(mask) for outcome, mask in masks.items()}
    return Comparison(
        images=len(aligned),
        labelled=int(known.sum()),
        agreement=float((said[0] == said[1]).mean()),
        rows=rows,
        predicted=predicted,
        classes=_by_class(truths[0], known, right_ones, names),
        p_value=_mcnemar(len(rows["left"]), len(rows["right"])),
    )


def _by_class(truth: np.ndarray, known: np.ndarray, right: tuple[np.ndarray, np.ndarray], names: list[str]) -> tuple[ClassDifference, ...]:
    counts = np.bincount(truth[known], minlength=len(names))
    hits = [np.bincount(truth[known], weights=part[known], minlength=len(names)) for part in right]
    found = [
        ClassDifference(names[index], int(counts[index]), float(hits[0][index] / counts[index]), float(hits[1][index] / counts[index]))
        for index in np.flatnonzero(counts).tolist()
    ]
    return tuple(sorted(found, key=lambda entry: -abs(entry.change)))


def _mcnemar(left_only: int, right_only: int) -> float | None:
    from scipy.stats import binomtest

    total = left_only + right_only
    return float(binomtest(left_only, total, 0.5).pvalue) if total else None
