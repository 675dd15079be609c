"""Nested prefixes of latents that must each reconstruct on their own (Bussmann et al. 2025, arXiv 2503.17547, section 3)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int


def prefix_ends(width: int, fractions: tuple[float, ...] | None) -> tuple[int, ...]:
    """Last latent (exclusive) of each prefix; one prefix, the whole, when `fractions` is None. Every prefix gains at least one latent."""
    ends: list[int] = []
    for fraction in fractions or (1.0,):
        ends.append(min(width, max(round(fraction * width), ends[-1] + 1 if ends else 1)))
    return tuple(dict.fromkeys(ends))


def group_of_latent(width: int, ends: tuple[int, ...], device: torch.device) -> Int[torch.Tensor, " width"]:
    """Which prefix each latent joins first."""
    return torch.searchsorted(torch.tensor(ends, device=device), torch.arange(width, device=device), right=True)


def prefix_errors(
    contributions: Float[torch.Tensor, "batch groups dim"], target: Float[torch.Tensor, "batch dim"]
) -> Float[torch.Tensor, "batch groups dim"]:
    """Reconstruction minus target after each prefix, from what each group alone contributes (the bias is in the target)."""
    return contributions.cumsum(dim=1) - target[:, None]


def gradients_of_groups(errors: Float[torch.Tensor, "batch groups dim"]) -> Float[torch.Tensor, "batch groups dim"]:
    """Mean over prefixes of the errors that a group takes part in: its own prefix's and all later ones'."""
    return errors.flip(1).cumsum(dim=1).flip(1) / errors.shape[1]
