"""DN-CBM's probe, to the letter (Rao et al. 2024, train_linear_probe.py)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cbm.core.run import Run
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class DnCbmSettings:
    """`mean cross-entropy + l1 · mean |W|` by Adam on raw codes, without a bias.

    Adam on a sub-gradient gives no exact zeros and the mean makes the penalty tiny: this head is dense, whatever `l1` says.
    """

    learning_rate: float = 1e-2
    """Adam's."""
    l1: float = 1.0
    """Weight of the mean absolute weight."""
    epochs: int = 200
    """Passes over the training rows."""
    batch_size: int = 512
    """Rows per step."""


def fit(rows: HeadRows, settings: DnCbmSettings, run: Run) -> LinearHead:
    from cbm.heads.dense_probe import DnCbmProbeConfig, fit_dense_probe

    config = DnCbmProbeConfig(**asdict(settings), seed=run.seed)
    return fit_dense_probe(rows.codes, rows.labels, rows.classes, config, progress=run.progress, cancelled=run.cancelled)


PART = HeadPart(
    "dn-cbm",
    "The dense probe as published with Discover-then-Name, for comparison with the paper.",
    DnCbmSettings,
    label="DN-CBM probe",
    fit=fit,
    dense=True,
)
