"""The centred cosine of direction and name, plus a tenth of the logarithm of the name's share of the votes of the latent's images.

A latent that no image activates is judged by its direction alone: its votes are those of nobody, the same for every name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cbm.names.part import Latents, RulePart

if TYPE_CHECKING:
    from cbm.names.candidates import BestCandidates


@dataclass(frozen=True)
class VotesConfig:
    """The constants of the combined rule; `docs/naming.md` has the measurements that chose them."""

    sharpness: float = 2.0
    """Votes of an image = softmax over the names of `sharpness` × standardised similarity."""
    power: float = 3.0
    """An image counts with its activation to this power: the strongest images speak, without a number of top images to choose."""
    floor: float = 1e-5
    """Added to a share of votes before its logarithm."""
    weight: float = 0.1
    """Of the logarithm, in units of cosine."""


def score(latents: Latents, config: VotesConfig) -> BestCandidates:
    import numpy as np

    from cbm.core.arrays import unit_rows
    from cbm.names.candidates import BestCandidates, centred_rows
    from cbm.names.votes import Votes

    queries, keys = unit_rows(latents.directions), centred_rows(latents.names, latents.text_mean)
    images = centred_rows(latents.images, latents.image_mean)
    best = BestCandidates(len(queries), latents.candidates)
    for chunk, shares in Votes(latents.codes, images, keys, config).chunks():
        best.add(queries @ keys[chunk].T + config.weight * np.log(shares + np.float32(config.floor)), chunk.start)
    return best


PART = RulePart(
    "combined",
    "Recommended. A name must fit both the concept's direction and its strongest images.",
    VotesConfig,
    label="Direction and images",
    score=score,
    looks_at_images=True,
)
