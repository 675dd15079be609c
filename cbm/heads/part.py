"""What `cbm.registry.HEADS` holds: a way to fit a head, with the settings that it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbm.core.run import Run
from cbm.registry import Part

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from cbm.core.codes import Codes
    from cbm.heads.base import LinearHead


@dataclass(frozen=True)
class HeadRows:
    """Labelled rows to fit a head on."""

    codes: Codes
    labels: np.ndarray
    """Class numbers [rows], below `classes`."""
    classes: int
    class_names: tuple[str, ...] = ()
    """By class number; empty where whoever fits knows no names."""
    concept_names: tuple[str, ...] = ()
    """By concept; several may have one name. Empty where there are none."""
    class_texts: Float32[np.ndarray, "classes dim"] | None = None
    """Unit text embeddings of the class names; None where they cannot be had."""
    concept_texts: Float32[np.ndarray, "concepts dim"] | None = None
    """Unit text embeddings of the concepts' names, and zeros where one has none; None where no concept has any."""


@dataclass(frozen=True, kw_only=True)
class HeadPart(Part):
    """A way to fit a head."""

    label: str
    """As menus show it: `Sparse`."""
    fit: Callable[[HeadRows, Any, Run], LinearHead]
    """`fit(rows, settings, run)`; `run.seed` seeds everything random."""
    dense: bool = False
    """Most weights are not zero: the head takes the place of the dense one in the comparison of heads."""
    bound: bool = False
    """More than the labelled rows decides its weights, such as signs or gates: the plain dense head is fitted beside it, so that the
    comparison shows what that costs."""
