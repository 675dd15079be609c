"""What `cbm.registry.HEADS` holds: a way to fit a head, with the settings that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbm.core.run import Run
from cbm.registry import Part

if TYPE_CHECKING:
    import numpy as np

    from cbm.core.codes import Codes
    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class HeadRows:
    """Labelled rows to fit a head on."""

    codes: Codes
    labels: np.ndarray
    """Class numbers [rows], below `classes`."""
    classes: int


@dataclass(frozen=True, kw_only=True)
class HeadPart(Part):
    """A way to fit a head."""

    label: str
    """As menus show it: `Sparse`."""
    fit: Callable[[HeadRows, Any, Run], LinearHead]
    """`fit(rows, settings, run)`; `run.seed` seeds everything random."""
    dense: bool = False
    """Most weights are not zero: the head takes the place of the dense one in the comparison of heads."""
