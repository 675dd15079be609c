"""What a concept fires on: its activations over the held-out images, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float32, Float64, Int

from cbm.core.codes import Codes
from cbm.editing.scoring import EffectiveHead
from cbm.metrics.truth import area_under_roc

_KNOWN = 3
_FEWEST_BINS, _MOST_BINS = 6, 16


@dataclass(frozen=True, eq=False)
class Firing:
    """Where a concept fires and how strongly; for merged concepts, the sum of their activations."""

    members: tuple[int, ...]
    rows: Int[np.ndarray, " firing"]
    """Held-out rows on which it is active, the strongest first."""
    values: Float32[np.ndarray, " firing"]
    images: int

    @property
    def frequency(self) -> float:
        """Share of the held-out images on which it fires, 0 to 1."""
        return len(self.rows) / max(1, self.images)

    def within(self, rows: Iterable[int]) -> Firing:
        """The same concept, looked at on some images only."""
        kept = np.isin(self.rows, np.fromiter(rows, np.int64))
        return replace(self, rows=self.rows[kept], values=self.values[kept])

    def dense(self) -> Float32[np.ndarray, " images"]:
        """Its activation on every image."""
        everywhere = np.zeros(self.images, np.float32)
        everywhere[self.rows] = self.values
        return everywhere


@dataclass(frozen=True)
class Examples:
    """Positions in a `Firing`, for three rows of pictures: no one looks at the top alone."""

    top: tuple[int, ...]
    middle: tuple[int, ...]
    """Around the median of the images on which it fires."""
    random: tuple[int, ...]
    """Drawn evenly from all images on which it fires, in order of strength."""


@dataclass(frozen=True, eq=False)
class Bins:
    """A histogram of the activations that are not zero."""

    edges: Float64[np.ndarray, " bins_plus_one"]
    counts: Int[np.ndarray, " bins"]

    def label(self, index: int) -> str:
        """The bin as an address and a person can read it: "0.80-1.00"."""
        digits = _digits(self.edges)
        return f"{self.edges[index]:.{digits}f}-{self.edges[index + 1]:.{digits}f}"

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.label(index) for index in range(len(self.counts)))


@dataclass(frozen=True, eq=False)
class Known:
    """How a concept compares with a known one that a table of the images gave."""

    name: str
    auc: float
    """Area under the ROC curve of the activation; 0.5 is chance."""
    cut: float
    """The activation from which on the concept is taken to say yes."""
    missed: Int[np.ndarray, " some"]
    """Rows that have the known concept although this one says no, the weakest first."""
    extra: Int[np.ndarray, " others"]
    """Rows that do not have it although this one says yes, the strongest first."""


def firing(columns: scipy.sparse.csc_matrix, members: Sequence[int]) -> Firing:
    """The activations of a concept, or of several that were merged into one.

    >>> fired = firing(scipy.sparse.csc_matrix([[0.0, 2.0], [0.5, 0.0], [0.0, 3.0]]), [1])
    >>> fired.rows.tolist(), fired.values.tolist(), fired.frequency
    ([2, 0], [3.0, 2.0], 0.6666666666666666)

    Args:
        columns: activations [images, concepts].
    """
    total = np.asarray(columns[:, list(members)].sum(axis=1), np.float32).ravel()
    rows = np.flatnonzero(total)
    rows = rows[np.argsort(-total[rows], kind="stable")]
    return Firing(tuple(members), rows, total[rows], columns.shape[0])


def examples(fired: Firing, *, concept: int, sample: int, count: int) -> Examples:
    """Top, mid-range and random positions, `count` of each; the same concept and sample number always give the same ones."""
    total = len(fired.rows)
    start = max(0, (total - count) // 2)
    drawn = np.random.default_rng([concept, sample]).choice(total, size=min(count, total), replace=False)
    return Examples(tuple(range(min(count, total))), tuple(range(start, min(total, start + count))), tuple(sorted(drawn.tolist())))


def bins(fired: Firing) -> Bins:
    """Bins with round edges, from the weakest activation to the strongest."""
    if not len(fired.values):
        return Bins(np.array([0.0, 1.0]), np.zeros(1, np.int64))
    low, high = float(fired.values.min()), float(fired.values.max())
    wanted = int(np.clip(round(len(fired.values) ** 0.5), _FEWEST_BINS, _MOST_BINS))
    step = _round_step(max(high - low, abs(high) * 1e-3, 1e-6) / wanted)
    first, last = np.floor(low / step), np.floor(high / step) + 1
    edges = np.arange(first, last + 1) * step
    # Searched as the bin's images are, so that a bar never counts an image that a click on it does not show.
    counts = np.bincount(_bin_of(edges, fired.values), minlength=len(edges) - 1)
    return Bins(edges, counts)


def in_bin(fired: Firing, cut: Bins, index: int) -> tuple[int, ...]:
    """Positions whose activation is in a bin, the strongest first."""
    return tuple(np.flatnonzero(_bin_of(cut.edges, fired.values) == index).tolist())


def _bin_of(edges: Float64[np.ndarray, " edges"], values: Float32[np.ndarray, " firing"]) -> Int[np.ndarray, " firing"]:
    return np.clip(np.searchsorted(edges, values.astype(np.float64), side="right") - 1, 0, len(edges) - 2)


def _round_step(step: float) -> float:
    """The next larger of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= step * (1 - 1e-9)))


def _digits(edges: Float64[np.ndarray, " edges"]) -> int:
    step = float(edges[1] - edges[0])
    return next((digits for digits in range(6) if abs(round(step, digits) - step) < 1e-9 * max(1.0, step)), 6)


def high_and_low(fired: Firing, members: Int[np.ndarray, " some"], count: int) -> tuple[list[int], list[int]]:
    """Of some images, those on which the concept fires most and those on which it is weakest (silent ones first); never the same ones.

    >>> fired = Firing((0,), np.array([2, 0]), np.array([3.0, 1.0], np.float32), images=4)
    >>> high_and_low(fired, np.arange(4), 2)
    ([2, 0], [3, 1])

    Args:
        members: rows of the images, such as those of one class.
    """
    strengths = fired.dense()[members]
    order = members[np.argsort(-strengths, kind="stable")]
    firing = frozenset(fired.rows.tolist())
    share = min(count, (len(order) + 1) // 2)
    return [row for row in order[:share].tolist() if row in firing], order[max(share, len(order) - count) :][::-1].tolist()


def class_weights(
    head: EffectiveHead, columns: scipy.sparse.csc_matrix, members: Sequence[int], classes: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """(class, weight) of the classes that use the concept, largest |weight| first, with the head's weight edits.

    Merged concepts keep their own weights; they are shown as their mean, weighted by how much each of them fires.
    """
    own = head.weights_of(np.array(members))
    mass = np.asarray(abs(columns[:, list(members)]).sum(axis=0), np.float64).ravel()
    share = mass / mass.sum() if mass.sum() > 0 else np.full(len(mass), 1 / len(mass))
    weights = share @ own
    order = np.argsort(-np.abs(weights), kind="stable")
    return tuple((classes[index], float(weights[index])) for index in order if weights[index] != 0)


def known_concepts(fired: Firing, truth: Bool[np.ndarray, "images known"], names: Sequence[str]) -> tuple[Known, ...]:
    """The known concepts that this one agrees with best, best first, with the images on which they differ at the best cut.

    Args:
        truth: which image has which known concept; `names` are theirs.
    """
    if not names:
        return ()
    column = scipy.sparse.csr_matrix((fired.values, (fired.rows, np.zeros_like(fired.rows))), shape=(fired.images, 1), dtype=np.float32)
    auc = area_under_roc(Codes.from_csr(column), truth)[0]
    best = [index for index in np.argsort(-np.nan_to_num(auc), kind="stable")[:_KNOWN].tolist() if not np.isnan(auc[index])]
    strengths = fired.dense()
    agreements = []
    for index in best:
        present = truth[:, index]
        cut = best_cut(strengths, present)
        says = strengths >= cut
        missed, extra = np.flatnonzero(present & ~says), np.flatnonzero(~present & says)
        missed = missed[np.argsort(strengths[missed], kind="stable")]
        extra = extra[np.argsort(-strengths[extra], kind="stable")]
        agreements.append(Known(names[index], float(auc[index]), cut, missed, extra))
    return tuple(agreements)


def best_cut(strengths: Float32[np.ndarray, " images"], present: Bool[np.ndarray, " images"]) -> float:
    """The activation from which on "present" is said best: largest true positive rate minus false positive rate (Youden's J).

    >>> best_cut(np.array([1.0, 0.25, 0.75, 0.0], np.float32), np.array([True, False, True, False]))
    0.75
    """
    order = np.argsort(-strengths, kind="stable")
    rates = np.cumsum(present[order]) / max(1, present.sum()) - np.cumsum(~present[order]) / max(1, (~present).sum())
    # Images of one strength are on the same side of any cut.
    last = np.append(np.diff(strengths[order]) != 0, True)
    return float(strengths[order][np.argmax(np.where(last, rates, -np.inf))])
