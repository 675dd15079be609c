"""The cosine of a latent's direction and the name's text embedding minus the mean text.

A dictionary learns on embeddings minus their mean, so that its directions are free of the image modality's mean already; this takes the
text modality's mean out too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbm.names.part import Latents, RulePart
from cbm.registry import NoSettings

if TYPE_CHECKING:
    from cbm.names.candidates import BestCandidates


def score(latents: Latents, _: NoSettings) -> BestCandidates:
    from cbm.core.arrays import unit_rows
    from cbm.names.candidates import best_by_product, centred_rows

    return best_by_product(unit_rows(latents.directions), centred_rows(latents.names, latents.text_mean), latents.candidates)


PART = RulePart(
    "centred",
    "The name whose text embedding is closest to the concept's direction, after removing what all texts share.",
    NoSettings,
    label="Direction alone",
    score=score,
)
