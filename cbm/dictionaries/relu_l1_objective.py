"""Loss, gradients and neuron resampling of the ReLU autoencoder under an L1 penalty.

Bricken et al. 2023 ("Towards monosemanticity") and DN-CBM (Rao et al. 2024, arXiv 2407.14499).
Half of the latents are active at first, so everything is dense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int

from cbm.dictionaries.matryoshka import gradients_of_groups, prefix_ends, prefix_errors
from cbm.dictionaries.objective import ResamplingObjective, RowSource, Step, StepFigures
from cbm.dictionaries.weights import Weights, kaiming_weights

if TYPE_CHECKING:
    from cbm.dictionaries.relu_l1 import ReluL1

RESAMPLING_ROWS = 819_200
"""Embeddings whose losses are compared when dead latents are resampled, if there are so many."""
ENCODER_SHARE = 0.2
"""Length of a resampled encoder row, relative to the mean length of living ones."""


@dataclass
class ReluL1Objective(ResamplingObjective):
    """Squared error plus the L1 penalty; counts which latents fired since the last resampling."""

    variant: ReluL1
    dim: int
    device: torch.device
    chunk_rows: int = 512

    def __post_init__(self) -> None:
        ends = prefix_ends(self.variant.width, self.variant.matryoshka)
        self.slices = [slice(start, end) for start, end in zip((0, *ends), ends, strict=False)]
        self.fired = torch.zeros(self.variant.width, dtype=torch.bool, device=self.device)

    def initial_weights(self, generator: torch.Generator, rows: RowSource | None) -> Weights:
        """DN-CBM's, which look at no rows."""
        return kaiming_weights(self.variant.width, self.dim, generator, self.device)

    def accumulate(self, weights: Weights, step: Step) -> StepFigures:
        """Add to `.grad` the gradient of mean over the batch of (squared error, reduced over dimensions) + coefficient · Σ activations."""
        inputs, targets = step.inputs, step.targets
        error_scale = 2 / len(targets) / (self.dim if self.variant.reduction == "mean" else 1)
        error = torch.zeros((), device=self.device)
        active = torch.zeros((), device=self.device)
        fired = torch.zeros_like(self.fired)
        rows = self.chunk_rows if self.device.type == "cpu" else len(targets)
        for chunk, target in zip(inputs.split(rows), targets.split(rows), strict=True):
            centred = chunk - weights.decoder_bias
            codes = torch.addmm(weights.encoder_bias, centred, weights.encoder.T).relu_()
            contributions = torch.stack([codes[:, part] @ weights.decoder[part] for part in self.slices], dim=1)
            errors = prefix_errors(contributions, target - weights.decoder_bias)
            self._backward(weights, centred, codes, gradients_of_groups(errors) * error_scale, self.variant.coefficient / len(targets))
            error += errors[:, -1].square().sum()
            active += (codes > 0).sum()
            fired |= (codes > 0).any(dim=0)
        self.fired |= fired
        return StepFigures(error / len(targets), active / len(targets), fired)

    def _backward(
        self,
        weights: Weights,
        centred: torch.Tensor,
        codes: torch.Tensor,
        per_group: Float[torch.Tensor, "batch groups dim"],
        penalty: float,
    ) -> None:
        encoder_gradient, bias_gradient, decoder_gradient, decoder_bias_gradient = (tensor.grad for tensor in weights.tensors)
        assert encoder_gradient is not None
        assert bias_gradient is not None
        assert decoder_gradient is not None
        assert decoder_bias_gradient is not None
        code_gradient = torch.empty_like(codes)
        for group, part in enumerate(self.slices):
            decoder_gradient[part].addmm_(codes[:, part].T, per_group[:, group])
            torch.mm(per_group[:, group], weights.decoder[part].T, out=code_gradient[:, part])
        code_gradient.add_(penalty).mul_(codes > 0)
        encoder_gradient.addmm_(code_gradient.T, centred)
        latent_sums = code_gradient.sum(dim=0)
        bias_gradient.add_(latent_sums)
        # The tied bias is added after the decoder (every prefix has it, as the first group does) and subtracted before the encoder.
        decoder_bias_gradient.add_(per_group[:, 0].sum(dim=0)).sub_(latent_sums @ weights.encoder)

    def resampling_rows(self, count: int, generator: torch.Generator) -> Int[torch.Tensor, " rows"]:
        """Row numbers of the embeddings whose losses decide what dead latents become: all, in sets below the published number."""
        return torch.randperm(count, generator=generator)[: min(RESAMPLING_ROWS, count)]

    def resample(
        self,
        weights: Weights,
        moments: Sequence[tuple[torch.Tensor, torch.Tensor]],
        batches: Iterable[Float[torch.Tensor, "_ dim"]],
        generator: torch.Generator,
    ) -> int:
        """Point latents that never fired at badly reconstructed embeddings, drawn with probability ∝ loss²; returns how many.

        Their decoder row becomes the embedding's direction, their encoder row the same at 0.2 times the mean living length,
        their bias and Adam moments zero.
        """
        dead = (~self.fired).nonzero().squeeze(1)
        self.fired.zero_()
        if len(dead) == 0:
            return 0
        kept = [(batch, self._losses(weights, batch)) for batch in batches]
        inputs, losses = torch.cat([batch for batch, _ in kept]), torch.cat([loss for _, loss in kept])
        # Drawn on the CPU, where the generator lives; without replacement while there are enough embeddings.
        chances = losses.cpu().double().square().clamp_min_(1e-30)
        drawn = torch.multinomial(chances, len(dead), replacement=len(dead) > len(chances), generator=generator)
        directions = torch.nn.functional.normalize(inputs[drawn.to(self.device)], dim=1)
        living = torch.ones(self.variant.width, dtype=torch.bool, device=self.device)
        living[dead] = False
        length = torch.linalg.vector_norm(weights.encoder[living], dim=1).mean() if living.any() else torch.ones((), device=self.device)
        weights.decoder[dead] = directions
        weights.encoder[dead] = directions * (ENCODER_SHARE * length)
        weights.encoder_bias[dead] = 0.0
        for first, second in list(moments)[:3]:
            first[dead] = 0.0
            second[dead] = 0.0
        return len(dead)

    def _losses(self, weights: Weights, inputs: Float[torch.Tensor, "batch dim"]) -> Float[torch.Tensor, " batch"]:
        losses = []
        for chunk in inputs.split(self.chunk_rows):
            codes = torch.addmm(weights.encoder_bias, chunk - weights.decoder_bias, weights.encoder.T).relu_()
            losses.append((torch.addmm(weights.decoder_bias, codes, weights.decoder) - chunk).square().mean(dim=1))
        return torch.cat(losses)

    def state(self) -> Mapping[str, torch.Tensor]:
        """What the next step depends on besides the weights."""
        return {"fired": self.fired}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        self.fired = state["fired"]
