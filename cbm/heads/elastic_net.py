"""The elastic net of post-hoc CBM: a logistic regression of each class against the rest, by stochastic gradient descent."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np

from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from scipy import sparse

    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class ElasticNetSettings:
    """`log loss + alpha · (l1_ratio · |w|₁ + (1 - l1_ratio)/2 · |w|²)`, for each class."""

    alpha: Annotated[float, Range(0)] = 1e-5
    """Strength of the elastic net; the paper takes 0.0002 for birds."""
    l1_ratio: Annotated[float, Range(0, 1)] = 0.99
    """Share of the elastic net that is L1."""
    max_passes: Annotated[int, Range(1)] = 10_000
    """Passes over the training rows, at most; it ends where the loss no longer falls."""


class OneClass(NamedTuple):
    """A class against the rest."""

    weight: np.ndarray
    bias: float
    converged: bool


def fit(rows: HeadRows, settings: ElasticNetSettings, run: Run) -> LinearHead:
    """scikit-learn's SGDClassifier, as the authors use it, on activations of deviation 1.

    They are not centred: sparse codes would become dense, and the bias, which has no penalty, takes up a common shift of all rows.
    """
    from scipy import sparse

    from cbm.heads.base import LinearHead, as_csr, checked_labels
    from cbm.heads.dense_probe import spread_over_classes
    from cbm.heads.problem import DENSE_ABOVE
    from cbm.heads.scaling import Scaling

    matrix = as_csr(rows.codes)
    labels = checked_labels(rows.labels, matrix.shape[0], rows.classes)
    factor = Scaling.standard(matrix).factor
    scaled = sparse.csr_matrix(matrix.multiply(factor), dtype=np.float64)
    features = scaled.toarray() if matrix.nnz > DENSE_ABOVE * matrix.shape[0] * matrix.shape[1] else scaled
    present = np.unique(labels)
    asked = present[1:] if len(present) == 2 else present
    found = []
    for number, label in enumerate(asked):
        run.check()
        run.report(number, len(asked), "elastic net")
        found.append(one_against_the_rest(features, labels == label, settings, run.seed))
    weight, bias = np.stack([one.weight for one in found]) * factor, np.array([one.bias for one in found])
    if len(present) == 2:
        # One regression tells two classes apart; each gets half of the difference of their logits.
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    full, full_bias = spread_over_classes(weight, bias, present, rows.classes)
    details = {"solver": "sgd-elastic-net", "converged": all(one.converged for one in found), "seed": run.seed, **asdict(settings)}
    return LinearHead(full.astype(np.float32), full_bias.astype(np.float32), "dense", details)


def one_against_the_rest(
    features: sparse.csr_matrix | np.ndarray, is_class: np.ndarray, settings: ElasticNetSettings, seed: int
) -> OneClass:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(
        loss="log_loss",
        penalty="elasticnet",
        alpha=settings.alpha,
        l1_ratio=settings.l1_ratio,
        max_iter=settings.max_passes,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Said in the head's details instead.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, is_class)
    return OneClass(model.coef_[0], float(model.intercept_[0]), model.n_iter_ < settings.max_passes)


PART = HeadPart(
    "elastic-net",
    "Post-hoc CBM's head: each class against the rest, with a weak L1 penalty. Most weights stay, so it is read as a dense head.",
    ElasticNetSettings,
    label="Elastic net",
    fit=fit,
    dense=True,
)
