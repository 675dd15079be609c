"""What the trainer asks of a sparse autoencoder variant: initial weights, and the gradients of one batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from cbm.dictionaries.weights import Weights

RowSource = Callable[[int], Float[torch.Tensor, "rows dim"]]
"""At most so many training rows, drawn at random, as the encoder sees them."""


class Step(NamedTuple):
    """One optimiser step; an objective reads what it needs."""

    inputs: Float[torch.Tensor, "batch dim"]
    """What the encoder sees."""
    targets: Float[torch.Tensor, "batch dim"]
    """What is to be reconstructed."""
    k: int
    """Latents to select per embedding; 0 where the variant selects none."""
    silence: Int[torch.Tensor, " size"]
    """Embeddings since each latent last fired."""
    dead_after: int
    """Silence from which a latent is dead."""
    scale: float
    """Factor of the squared error, 1 / dim."""


class StepFigures(NamedTuple):
    """What a step saw; tensors, so that reading them can wait."""

    error: Float[torch.Tensor, ""]
    """Mean squared error of the full reconstruction, summed over dimensions."""
    active: Float[torch.Tensor, ""]
    """Active latents per embedding."""
    fired: Bool[torch.Tensor, " size"]


class Objective(ABC):
    """Loss and gradients of one variant. One without a state of its own implements the first two methods only."""

    @abstractmethod
    def initial_weights(self, generator: torch.Generator, rows: RowSource | None) -> Weights:
        """Where training starts.

        Args:
            rows: a source of training rows to start decoder rows at; None where directions are to be random.
        """

    @abstractmethod
    def accumulate(self, weights: Weights, step: Step) -> StepFigures:
        """Add the gradient of the loss to each weight's `.grad`."""

    def state(self) -> Mapping[str, torch.Tensor]:
        """What the next step depends on besides the weights."""
        return {}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:  # noqa: B027 - most have no state, and nothing to restore
        """Counterpart of `state`."""


class ResamplingObjective(Objective):
    """Of a variant that gives dead latents new weights at intervals."""

    @abstractmethod
    def resampling_rows(self, count: int, generator: torch.Generator) -> Int[torch.Tensor, " rows"]:
        """Row numbers, of `count`, that `resample` wants to see."""

    @abstractmethod
    def resample(
        self,
        weights: Weights,
        moments: Sequence[tuple[torch.Tensor, torch.Tensor]],
        batches: Iterable[Float[torch.Tensor, "_ dim"]],
        generator: torch.Generator,
    ) -> int:
        """Give dead latents new weights, before the steps that the variant's `resamples_every` names; returns how many.

        Args:
            moments: Adam's first and second of each weight.
        """
