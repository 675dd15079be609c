"""One latent as the probe of a class: how well single concepts say which class an image is of, chosen and measured on different images."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Float64, Int, Int64

from cbm.core.codes import Codes

TOP = 16
"""Images on which a concept is strongest, whose labels its purity counts."""
COVERED_ABOVE = 0.3
"""Average precision above which a class counts as covered (the saev project's figure)."""
_RIDGE = 1e-3
_STEPS = 25
_LONGEST_STEP = 2.0
_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True, eq=False)
class OneLatentProbes:
    """For each class that has images on both sides, the latent that tells it best."""

    classes: Int64[np.ndarray, " tested"]
    latents: Int64[np.ndarray, " tested"]
    average_precision: Float64[np.ndarray, " tested"]
    """On the images that it was not chosen on."""
    cross_entropy: Float64[np.ndarray, " tested"]
    """In nats, on those images."""
    base_cross_entropy: Float64[np.ndarray, " tested"]
    """Of the class's share among the images that the probe was fitted on, said of every image."""

    @property
    def mean_average_precision(self) -> float:
        return float(self.average_precision.mean())

    @property
    def probe_r(self) -> float:
        """1 - CE / CE of the class's share, both summed over classes; 0 where latents say nothing, below where they mislead."""
        return float(1 - self.cross_entropy.sum() / self.base_cross_entropy.sum())

    def coverage(self, above: float = COVERED_ABOVE) -> float:
        """Share of the classes with an average precision above this."""
        return float((self.average_precision > above).mean())


def one_latent_probes(
    fit_codes: Codes,
    fit_labels: Int[np.ndarray, " fitted"],
    codes: Codes,
    labels: Int[np.ndarray, " rows"],
    classes: int,
    candidates: int = 4,
) -> OneLatentProbes:
    """For each class the best logistic probe of a single latent, P(class) = σ(a z + b).

    Definitions as in the saev project: the latent is chosen by cross-entropy on the images that the probes are fitted on, and average
    precision, probe R and coverage are measured on others. Only the latents that correlate most with a class are tried, which are those
    with the best linear probe; saev fits all. Traps: choosing and measuring on the same images flatters wide dictionaries; average
    precision depends on how frequent a class is, so compare it between dictionaries, not between data sets.

    Args:
        candidates: latents that are fitted for each class.

    Raises:
        ValueError: no class has images on both sides.
    """
    tested = np.flatnonzero((np.bincount(fit_labels, minlength=classes) > 0) & (np.bincount(labels, minlength=classes) > 0))
    tested = tested[np.bincount(fit_labels, minlength=classes)[tested] < len(fit_labels)]
    if not len(tested):
        raise ValueError("no class has images on both sides: there is nothing to probe")
    columns = fit_codes.to_csr().astype(np.float64).tocsc()
    scale = _deviation(columns)
    tried = _most_correlated(columns, scale, fit_labels, classes, candidates)[tested]
    chosen = [_choose(columns, scale, tried[part], tested[part], fit_labels) for part in _blocks(columns, tried)]
    latents, slope, offset = (np.concatenate(values) for values in zip(*chosen, strict=True))
    measured = codes.to_csr().astype(np.float64).tocsc()
    share = np.bincount(fit_labels, minlength=classes)[tested] / len(fit_labels)
    precision, loss, base = np.empty(len(tested)), np.empty(len(tested)), np.empty(len(tested))
    for place, label in enumerate(tested):
        hits = labels == label
        logits = slope[place] * measured[:, [latents[place]]].toarray().ravel() + offset[place]
        precision[place] = average_precision(logits, hits)
        loss[place] = np.mean(np.logaddexp(0, logits) - hits * logits)
        base[place] = -hits.mean() * np.log(share[place]) - (1 - hits.mean()) * np.log1p(-share[place])
    return OneLatentProbes(tested, latents, precision, loss, base)


def average_precision(scores: Float[np.ndarray, " rows"], hits: Bool[np.ndarray, " rows"]) -> float:
    """Σ_n (R_n - R_{n-1}) P_n over distinct scores, as scikit-learn has it: ties are taken together, so their order does not matter.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ranked, found = scores[order], np.cumsum(hits[order])
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    true_positives, seen = found[last_of_tie], np.flatnonzero(last_of_tie) + 1
    return float(np.sum(np.diff(true_positives, prepend=0) * true_positives / seen) / found[-1])


def purity(codes: Codes, labels: Int[np.ndarray, " rows"], top: int = TOP) -> Float64[np.ndarray, " concepts"]:
    """Share of the commonest label among the images on which each concept is strongest (purity@16 of the saev project).

    NaN for a concept that is active on fewer images than `top`: with fewer images, chance makes it purer. The least possible value
    is 1 / `top`; a set with few classes, or one common class, starts higher.
    """
    columns = codes.to_csr().tocsc()
    positive = columns.data > 0
    concept = np.repeat(np.arange(codes.size), np.diff(columns.indptr))[positive]
    order = np.lexsort((-columns.data[positive], concept))
    concept, image = concept[order], columns.indices[positive][order]
    active = np.bincount(concept, minlength=codes.size)
    place = np.arange(len(concept)) - np.repeat(np.cumsum(active) - active, active)
    strongest = place < top
    classes = int(labels.max()) + 1
    keys, counts = np.unique(concept[strongest].astype(np.int64) * classes + labels[image[strongest]], return_counts=True)
    commonest = np.zeros(codes.size)
    np.maximum.at(commonest, keys // classes, counts)
    return np.where(active >= top, commonest / top, np.nan)


def halves(labels: Int[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """Which images to choose on: every other one of each class, by their order; the rest is to measure on."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    first = np.searchsorted(ordered, ordered)
    chosen = np.zeros(len(labels), bool)
    chosen[order] = (np.arange(len(labels)) - first) % 2 == 0
    return chosen


class _Chosen(NamedTuple):
    latents: Int64[np.ndarray, " classes"]
    slope: Float64[np.ndarray, " classes"]
    offset: Float64[np.ndarray, " classes"]


def _deviation(columns: scipy.sparse.csc_matrix) -> Float64[np.ndarray, " concepts"]:
    mean = np.asarray(columns.mean(axis=0)).ravel()
    return np.sqrt(np.maximum(np.asarray(columns.power(2).mean(axis=0)).ravel() - mean**2, 0))


def _most_correlated(
    columns: scipy.sparse.csc_matrix,
    deviation: Float64[np.ndarray, " concepts"],
    labels: Int[np.ndarray, " rows"],
    classes: int,
    count: int,
) -> Int64[np.ndarray, "classes count"]:
    """Latents with the largest squared correlation with each class's indicator, which is the R² of their linear probes."""
    rows = len(labels)
    members = scipy.sparse.csr_matrix((np.ones(rows), (labels, np.arange(rows))), shape=(classes, rows))
    sums = np.asarray((members @ columns).todense())
    share = np.bincount(labels, minlength=classes) / rows
    covariance = sums / rows - share[:, None] * np.asarray(columns.mean(axis=0))
    score = np.abs(covariance) / np.where(deviation > 0, deviation, np.inf)
    count = min(count, columns.shape[1])
    return np.argsort(-score, axis=1, kind="stable")[:, :count].astype(np.int64)


def _blocks(columns: scipy.sparse.csc_matrix, tried: Int64[np.ndarray, "classes count"]) -> list[slice]:
    """Runs of classes whose candidates hold about `_BLOCK_VALUES` activations."""
    size = np.cumsum(np.diff(columns.indptr)[tried].sum(axis=1) + 1) // _BLOCK_VALUES
    starts = np.append(np.flatnonzero(np.diff(size, prepend=-1)), len(tried))
    return [slice(int(start), int(stop)) for start, stop in itertools.pairwise(starts)]


def _choose(
    columns: scipy.sparse.csc_matrix,
    deviation: Float64[np.ndarray, " concepts"],
    tried: Int64[np.ndarray, "classes count"],
    classes: Int64[np.ndarray, " classes"],
    labels: Int[np.ndarray, " rows"],
) -> _Chosen:
    latent = tried.ravel()
    label = np.repeat(classes, tried.shape[1])
    slope, offset, loss = _fit(columns, np.maximum(deviation, 1e-12), latent, label, labels)
    best = loss.reshape(tried.shape).argmin(axis=1) + np.arange(len(tried)) * tried.shape[1]
    return _Chosen(latent[best], slope[best], offset[best])


def _fit(
    columns: scipy.sparse.csc_matrix,
    scale: Float64[np.ndarray, " concepts"],
    latent: Int64[np.ndarray, " pairs"],
    label: Int64[np.ndarray, " pairs"],
    labels: Int[np.ndarray, " rows"],
) -> tuple[Float64[np.ndarray, " pairs"], Float64[np.ndarray, " pairs"], Float64[np.ndarray, " pairs"]]:
    """Slope, offset and loss of the logistic probe of every pair (latent, class), all by Newton's method at once.

    The images on which a latent is silent are one term with a weight, so that the cost is that of the stored activations. Activations
    are divided by their deviation, and a slight ridge keeps the slope of separable classes finite.
    """
    rows, pairs = len(labels), len(latent)
    lengths = np.diff(columns.indptr)[latent]
    pair = np.repeat(np.arange(pairs), lengths)
    stored = np.repeat(columns.indptr[latent].astype(np.int64) - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(pair))
    x = np.append(columns.data[stored] / scale[latent][pair], np.zeros(pairs))
    y = np.append((labels[columns.indices[stored]] == label[pair]).astype(np.float64), np.zeros(pairs))
    members = np.bincount(labels, minlength=int(label.max()) + 1)[label].astype(np.float64)
    silent = rows - lengths
    silent_members = members - np.bincount(pair, weights=y[: len(pair)], minlength=pairs)
    y[len(pair) :] = np.divide(silent_members, silent, out=np.zeros(pairs), where=silent > 0)
    weight = np.append(np.ones(len(pair)), silent) / rows
    pair = np.append(pair, np.arange(pairs))

    def sums(values: Float64[np.ndarray, " terms"]) -> Float64[np.ndarray, " pairs"]:
        return np.bincount(pair, weights=weight * values, minlength=pairs)

    slope, offset = np.zeros(pairs), np.log(members / (rows - members))
    best = (slope, offset, np.full(pairs, np.inf))
    for _ in range(_STEPS):
        logits = slope[pair] * x + offset[pair]
        loss = sums(np.logaddexp(0, logits) - y * logits) + _RIDGE / 2 * slope**2
        better = loss < best[2]
        best = (np.where(better, slope, best[0]), np.where(better, offset, best[1]), np.where(better, loss, best[2]))
        probability = 0.5 * (1 + np.tanh(logits / 2))
        gradient = sums((probability - y) * x) + _RIDGE * slope, sums(probability - y)
        curvature = probability * (1 - probability)
        a, b, c = sums(curvature * x * x) + _RIDGE, sums(curvature * x), sums(curvature) + 1e-9
        determinant = a * c - b * b
        slope = slope - np.clip((c * gradient[0] - b * gradient[1]) / determinant, -_LONGEST_STEP, _LONGEST_STEP)
        offset = offset - np.clip((a * gradient[1] - b * gradient[0]) / determinant, -_LONGEST_STEP, _LONGEST_STEP)
    return best[0] / scale[latent], best[1], best[2]
