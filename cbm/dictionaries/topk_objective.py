"""Loss and gradients of TopK and BatchTopK autoencoders with AuxK and Matryoshka prefixes, touching active entries only.

Gao et al. 2024 (arXiv 2406.04093) for TopK and AuxK; Bussmann et al. 2024 (arXiv 2412.06410) for BatchTopK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int

from cbm.dictionaries import sparse_ops
from cbm.dictionaries.matryoshka import gradients_of_groups, group_of_latent, prefix_ends, prefix_errors
from cbm.dictionaries.objective import Objective, RowSource, Step, StepFigures
from cbm.dictionaries.sparse_ops import Candidates, ColumnOrder, SparseActivations
from cbm.dictionaries.weights import Weights, tied_weights

if TYPE_CHECKING:
    from cbm.dictionaries.topk import TopK

FLOOR_SHARE = 0.8
"""Candidates of the next batch lie above this share of the last batch's cut; only speed depends on it."""
POOL_FACTOR = 4
"""AuxK chooses among this many times aux_k of the longest-dead latents: a fixed size, which an accelerator need not be asked for."""


class DeadPool(NamedTuple):
    """Latents that AuxK may use this step."""

    latents: Int[torch.Tensor, " pool"]
    dead: Bool[torch.Tensor, " pool"]
    """False where the pool holds living latents because there are fewer dead ones than places."""


@dataclass
class TopKObjective(Objective):
    """Squared error of the selected latents' reconstruction, plus AuxK."""

    variant: TopK
    dim: int
    device: torch.device
    chunk_rows: int = 512

    def __post_init__(self) -> None:
        self.ends = prefix_ends(self.variant.width, self.variant.matryoshka)
        self.groups = group_of_latent(self.variant.width, self.ends, self.device)
        self.aux_k = min(self.variant.width, self.variant.aux_k or max(1, self.dim // 2))
        self._floor = 0.0

    def initial_weights(self, generator: torch.Generator, rows: RowSource | None) -> Weights:
        """Tied weights along training rows, or along random directions."""
        directions = torch.randn(self.variant.width, self.dim, generator=generator)
        if rows is not None:
            # Random directions fill the places that a small set leaves.
            seen = rows(self.variant.width)
            directions[: len(seen)] = seen.cpu()
        return tied_weights(directions.to(self.device))

    def accumulate(self, weights: Weights, step: Step) -> StepFigures:
        """Add to `.grad` the gradient of scale · mean over the batch of the squared error, plus AuxK."""
        targets = step.targets
        centred = step.inputs - weights.decoder_bias
        pool = self._dead_pool(step.silence, step.dead_after)
        activations, pooled = self._activations(weights, centred, step.k, pool)
        order = sparse_ops.column_order(activations)
        errors, activation_gradient = self._reconstruction(weights, activations, order, targets, step.scale)
        # Entries that ReLU put to zero are kept to hold their row's place; they have no gradient.
        encoder_gradient = activations._replace(values=activation_gradient * (activations.values > 0))
        _accumulate_encoder(weights, encoder_gradient, order, centred)
        if pooled is not None and pool is not None:
            self._auxiliary(weights, pool, pooled, -errors, centred)
        fired = torch.zeros(self.variant.width, dtype=torch.bool, device=self.device)
        fired[activations.columns[activations.values > 0]] = True
        return StepFigures(errors.square().sum(dim=1).mean(), (activations.values > 0).sum() / len(targets), fired)

    def _activations(
        self, weights: Weights, centred: torch.Tensor, k: int, pool: DeadPool | None
    ) -> tuple[SparseActivations, torch.Tensor | None]:
        count = k * len(centred)
        batch_wise = self.variant.batch_wise
        for floor in dict.fromkeys((self._floor, 0.0)):
            parts, pooled = self._candidates(weights, centred, k, floor, pool)
            candidates = sparse_ops.join(parts, self._rows_at_once(len(centred)))
            if not batch_wise or len(candidates.values) >= count:
                break
        if batch_wise and self.device.type == "cpu":
            candidates = sparse_ops.largest(candidates, count)
            self._floor = FLOOR_SHARE * float(candidates.values.min()) if len(candidates.values) else 0.0
        return sparse_ops.compress(candidates, len(centred), self.variant.width), pooled

    def _candidates(
        self, weights: Weights, centred: torch.Tensor, k: int, floor: float, pool: DeadPool | None
    ) -> tuple[list[Candidates], torch.Tensor | None]:
        parts, pooled = [], []
        for chunk in centred.split(self._rows_at_once(len(centred))):
            responses = torch.addmm(weights.encoder_bias, chunk, weights.encoder.T)
            if not self.variant.batch_wise:
                parts.append(sparse_ops.row_candidates(responses, k))
            elif self.device.type == "cpu":
                parts.append(sparse_ops.floor_candidates(responses, floor))
            else:
                parts.append(sparse_ops.flat_candidates(responses, k * len(chunk)))
            if pool is not None:
                pooled.append(responses[:, pool.latents])
        return parts, torch.cat(pooled) if pooled else None

    def _rows_at_once(self, batch: int) -> int:
        return self.chunk_rows if self.device.type == "cpu" else batch

    def _reconstruction(
        self, weights: Weights, activations: SparseActivations, order: ColumnOrder, targets: torch.Tensor, scale: float
    ) -> tuple[Float[torch.Tensor, "batch dim"], Float[torch.Tensor, " active"]]:
        """Errors of the full reconstruction and gradients of the activations; adds the decoder's gradients."""
        groups = len(self.ends)
        split = sparse_ops.split_by_group(activations, self.groups, groups)
        contributions = sparse_ops.decode(split, weights.decoder).view(len(targets), groups, self.dim)
        errors = prefix_errors(contributions, targets - weights.decoder_bias)
        per_group = gradients_of_groups(errors) * (2 * scale / len(targets))
        flat = per_group.reshape(-1, self.dim)
        _grad(weights.decoder).add_(sparse_ops.transposed_product(split, order, flat))
        # The bias belongs to every prefix, as the first group does.
        _grad(weights.decoder_bias).add_(per_group[:, 0].sum(dim=0))
        return errors[:, -1], sparse_ops.decode_with_gradient(split, weights.decoder, flat)

    def _dead_pool(self, silence: torch.Tensor, dead_after: int) -> DeadPool | None:
        if self.variant.aux_coefficient == 0:
            return None
        longest = silence.topk(min(len(silence), POOL_FACTOR * self.aux_k), sorted=True)
        dead = longest.values >= dead_after
        if self.device.type == "cpu":
            # Reading a count costs nothing here, and spares the work on latents that live.
            count = int(dead.sum())
            return DeadPool(longest.indices[:count], dead[:count]) if count else None
        return DeadPool(longest.indices, dead)

    def _auxiliary(
        self,
        weights: Weights,
        pool: DeadPool,
        responses: Float[torch.Tensor, "batch pool"],
        residual: Float[torch.Tensor, "batch dim"],
        centred: Float[torch.Tensor, "batch dim"],
    ) -> None:
        """Gradient of aux_coefficient · min(dead / aux_k, 1) · ‖e^ - e‖² / ‖e - mean e‖², e^ the residual's reconstruction by dead latents.

        The residual e is a constant, e^ has no bias (the residual has none either), and raw pre-activations are used, not ReLU's:
        a latent that is negative everywhere would otherwise never come back.
        """
        masked = responses.masked_fill(~pool.dead, -torch.inf)
        if masked.shape[1] > self.aux_k:
            chosen = masked.topk(self.aux_k, dim=1, sorted=False).indices
            selected = torch.zeros_like(masked, dtype=torch.bool).scatter_(1, chosen, value=True) & pool.dead
        else:
            selected = pool.dead.expand_as(masked)
        active = torch.where(selected, responses, 0.0)
        decoder = weights.decoder[pool.latents]
        difference = active @ decoder - residual
        variance = (residual - residual.mean(dim=0)).square().sum().clamp_min(1e-12)
        share = (pool.dead.sum() / self.aux_k).clamp(max=1.0)
        gradient = difference * (2 * self.variant.aux_coefficient * share / variance)
        response_gradient = torch.where(selected, gradient @ decoder.T, 0.0)
        _grad(weights.decoder).index_add_(0, pool.latents, active.T @ gradient)
        _grad(weights.encoder).index_add_(0, pool.latents, response_gradient.T @ centred)
        bias_gradient = response_gradient.sum(dim=0)
        _grad(weights.encoder_bias).index_add_(0, pool.latents, bias_gradient)
        _grad(weights.decoder_bias).sub_(bias_gradient @ weights.encoder[pool.latents])


def _accumulate_encoder(weights: Weights, gradient: SparseActivations, order: ColumnOrder, centred: torch.Tensor) -> None:
    _grad(weights.encoder).add_(sparse_ops.transposed_product(gradient, order, centred))
    bias_gradient = torch.zeros_like(weights.encoder_bias).index_add_(0, gradient.columns, gradient.values)
    _grad(weights.encoder_bias).add_(bias_gradient)
    # The decoder's bias is subtracted before the encoder, so it also moves every pre-activation.
    _grad(weights.decoder_bias).sub_(bias_gradient @ weights.encoder)


def _grad(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None, "zero_gradients makes the gradients before they are accumulated"
    return tensor.grad
