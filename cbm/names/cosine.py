"""DN-CBM's rule: the cosine of a latent's direction and the name's text embedding, nothing subtracted (Rao et al., ECCV 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbm.names.part import Latents, RulePart
from cbm.registry import NoSettings

if TYPE_CHECKING:
    from cbm.names.candidates import BestCandidates


def score(latents: Latents, _: NoSettings) -> BestCandidates:
    from cbm.core.arrays import unit_rows
    from cbm.names.candidates import best_by_product

    return best_by_product(unit_rows(latents.directions), unit_rows(latents.names), latents.candidates)


PART = RulePart(
    "cosine",
    "The published rule of DN-CBM: like “direction alone”, but nothing is removed. Names repeat more often.",
    NoSettings,
    label="Plain cosine",
    score=score,
)
