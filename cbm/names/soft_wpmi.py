"""Soft-WPMI of CLIP-Dissect (Oikarinen and Weng, ICLR 2023, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbm.names.part import Latents, RulePart

if TYPE_CHECKING:
    from cbm.names.candidates import BestCandidates


@dataclass(frozen=True)
class SoftWpmiConfig:
    """The constants of CLIP-Dissect."""

    top: int = 100
    """Images that represent a latent."""
    sharpness: float = 10.0
    """P = softmax over the names of `sharpness` × cosine."""
    first: float = 0.998
    """Probability that the image of rank 1 belongs to the latent's set; linear in between this and `last`."""
    last: float = 0.97
    """Probability that the image of the last rank does."""
    correction: float = 1.0
    """λ: how much of a name's mean likelihood over all latents is taken off; it keeps names that suit everything from naming everything."""


def score(latents: Latents, config: SoftWpmiConfig) -> BestCandidates:
    from cbm.core.arrays import unit_rows
    from cbm.names.soft_wpmi_scores import soft_wpmi

    return soft_wpmi(latents.codes, unit_rows(latents.images), latents.names, candidates=latents.candidates, config=config)


PART = RulePart(
    "soft-wpmi",
    "The name that the concept's images have in common and other images do not have.",
    SoftWpmiConfig,
    label="Images alone",
    score=score,
    looks_at_images=True,
    relative=True,
)
