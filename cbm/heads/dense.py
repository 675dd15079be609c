"""The dense head: multinomial logistic regression on all concepts, solved to convergence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cbm.core.run import Run
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class DenseSettings:
    """Multinomial logistic regression with an L2 penalty and a bias by L-BFGS; its strength is picked on held-out training rows."""

    inverse_strengths: tuple[float, ...] = (0.03, 0.3, 3.0)
    """scikit-learn's C, on features scaled to rows of root-mean-square norm 10: those to choose from."""
    held_out: float = 0.2
    """Share of the training rows on which the strength is picked."""
    max_iterations: int = 500
    """Steps of L-BFGS, at most."""


def fit(rows: HeadRows, settings: DenseSettings, run: Run) -> LinearHead:
    from cbm.heads.dense_probe import ConvergedProbeConfig, fit_dense_probe

    config = ConvergedProbeConfig(**asdict(settings), seed=run.seed)
    return fit_dense_probe(rows.codes, rows.labels, rows.classes, config, progress=run.progress, cancelled=run.cancelled)


PART = HeadPart(
    "dense",
    "Every class may use every concept: the most accurate head on these concepts, and the hardest to read.",
    DenseSettings,
    label="Dense",
    fit=fit,
    dense=True,
)
