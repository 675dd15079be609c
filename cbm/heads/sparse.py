"""The sparse head: a given number of concepts per class, solved to optimality and truncated strictly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class SparseSettings:
    necs: Annotated[tuple[float, ...], Range(0)] = (5.0,)
    """Numbers of effective concepts, that is, mean numbers of non-zero weights per class; the head is that of the first."""
    tolerance: float = 1e-3
    """Relative duality gap at which an optimum counts as found."""


def fit(rows: HeadRows, settings: SparseSettings, run: Run) -> LinearHead:
    """The head of the NEC path at one number of concepts.

    Raises:
        InvalidInputError: no optimum has that many weights.
    """
    from cbm.heads.nec_path import NecPathConfig, fit_nec_path

    path = fit_nec_path(
        rows.codes,
        rows.labels,
        rows.classes,
        settings.necs,
        tolerance=settings.tolerance,
        config=NecPathConfig(seed=run.seed),
        progress=run.progress,
        cancelled=run.cancelled,
    )
    head = path.point(settings.necs[0]).head
    if head is None:
        raise InvalidInputError(f"No sparse head reaches NEC {settings.necs[0]:g} on these rows; ask for fewer concepts per class.")
    return head


PART = HeadPart(
    "sparse",
    "Each class uses only a few concepts, so that a person can read it. Solved to optimality, then cut to exactly the number you ask "
    "for; its accuracy at other numbers is measured too.",
    SparseSettings,
    label="Sparse",
    fit=fit,
)
