"""What `cbm.registry.RULES` holds: a rule that scores the names of a vocabulary for the latents of a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbm.registry import Part

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from cbm.core.codes import Codes
    from cbm.names.candidates import BestCandidates


@dataclass(frozen=True, eq=False)
class Latents:
    """What is to be named, and what to name it from."""

    directions: Float32[np.ndarray, "latents dim"]
    """In the space of mean-centred image embeddings."""
    names: Float32[np.ndarray, "names dim"]
    """Text embeddings as unit rows, not centred."""
    text_mean: Float32[np.ndarray, " dim"]
    candidates: int
    """Names to keep for each latent."""
    codes: Codes
    """Of `images`; over no images where the rule does not look at any."""
    images: Float32[np.ndarray, "images dim"]
    """Image embeddings, not centred."""
    image_mean: Float32[np.ndarray, " dim"]


@dataclass(frozen=True, kw_only=True)
class RulePart(Part):
    """A naming rule."""

    label: str
    """As menus show it."""
    score: Callable[[Latents, Any], BestCandidates]
    """The best names of each latent under the settings."""
    looks_at_images: bool = False
    """It needs images and their codes."""
    relative: bool = False
    """A latent's scores depend on the other latents that are named with it."""
