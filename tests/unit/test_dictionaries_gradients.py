"""Sparse gradients against dense automatic differentiation, with non-zero biases and dead latents present."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cbm.dictionaries import sparse_ops
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.matryoshka import prefix_ends
from cbm.dictionaries.objective import Step
from cbm.dictionaries.relu_l1 import ReluL1
from cbm.dictionaries.relu_l1_objective import ReluL1Objective
from cbm.dictionaries.topk import TopK
from cbm.dictionaries.topk_objective import TopKObjective
from cbm.dictionaries.weights import NAMES, Weights, normalise_decoder, remove_radial_gradient

BATCH, DIM, SIZE, K = 37, 19, 53, 5
DEAD_AFTER = 70
CPU = torch.device("cpu")


def random_weights(seed: int) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((SIZE, DIM), (SIZE,), (SIZE, DIM), (DIM,))
    weights = Weights(*(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes))
    weights.zero_gradients()
    return weights


def random_batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)
    return inputs, inputs + 0.3 * torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)


def dense_topk_loss(
    variant: TopK, tensors: list[torch.Tensor], inputs: torch.Tensor, targets: torch.Tensor, silence: torch.Tensor, scale: float, k: int
) -> torch.Tensor:
    encoder, encoder_bias, decoder, decoder_bias = tensors
    responses = (inputs - decoder_bias) @ encoder.T + encoder_bias
    if isinstance(variant, BatchTopK):
        places = responses.flatten().topk(k * len(inputs)).indices
        mask = torch.zeros(responses.numel(), dtype=torch.bool).index_fill(0, places, True).view_as(responses)
    else:
        mask = torch.zeros_like(responses, dtype=torch.bool).scatter(1, responses.topk(k, dim=1).indices, True)
    codes = torch.where(mask, responses.relu(), 0.0)
    ends = prefix_ends(SIZE, variant.matryoshka)
    losses = [(codes[:, :end] @ decoder[:end] + decoder_bias - targets).square().sum(dim=1).mean() for end in ends]
    loss = scale * torch.stack(losses).mean()
    dead = silence >= DEAD_AFTER
    if dead.any() and variant.aux_coefficient:
        residual = (targets - codes @ decoder - decoder_bias).detach()
        chosen = responses.masked_fill(~dead, -torch.inf).topk(min(variant.aux_k or DIM // 2, int(dead.sum())), dim=1).indices
        picked = torch.zeros_like(responses, dtype=torch.bool).scatter(1, chosen, True)
        rebuilt = torch.where(picked, responses, 0.0) @ decoder
        variance = (residual - residual.mean(dim=0)).square().sum()
        share = min(1.0, int(dead.sum()) / (variant.aux_k or DIM // 2))
        loss = loss + variant.aux_coefficient * share * (rebuilt - residual).square().sum() / variance
    return loss


@pytest.mark.parametrize("matryoshka", [None, (0.2, 0.5, 1.0)])
@pytest.mark.parametrize("variant_class", [TopK, BatchTopK])
@pytest.mark.parametrize(("dead", "k", "chunk_rows"), [(0, K, 512), (3, K, 11), (20, K, 11), (20, 1, 37), (SIZE, K, 7)])
def test_topk_gradients_equal_dense_differentiation(
    variant_class: type[TopK], matryoshka: tuple[float, ...] | None, dead: int, k: int, chunk_rows: int
) -> None:
    variant = variant_class(width=SIZE, k=k, matryoshka=matryoshka, aux_coefficient=0.3, aux_k=6)
    weights, (inputs, targets) = random_weights(dead), random_batch(1)
    silence = torch.zeros(SIZE, dtype=torch.int64)
    silence[torch.randperm(SIZE, generator=torch.Generator().manual_seed(2))[:dead]] = DEAD_AFTER
    objective = TopKObjective(variant, DIM, CPU, chunk_rows)
    figures = objective.accumulate(weights, Step(inputs, targets, k, silence, DEAD_AFTER, 1.7))
    # AuxK chooses among a pool of 4 * 6 longest-dead latents; with more dead ones the reference must know the same pool.
    if dead > 24:
        keep = silence.topk(24).indices
        silence = torch.zeros_like(silence).index_fill(0, keep, DEAD_AFTER)
    dense = [tensor.detach().clone().requires_grad_() for tensor in weights.tensors]
    dense_topk_loss(variant, dense, inputs, targets, silence, 1.7, k).backward()
    for name, tensor, reference in zip(NAMES, weights.tensors, dense, strict=True):
        assert tensor.grad is not None
        torch.testing.assert_close(tensor.grad, reference.grad, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")
    assert figures.active <= k


def test_the_floor_of_candidates_changes_nothing() -> None:
    variant = BatchTopK(width=SIZE, k=K)
    inputs, targets = random_batch(4)
    silence = torch.zeros(SIZE, dtype=torch.int64)
    gradients = []
    for floor in (0.0, 1.0, 1e9):
        weights, objective = random_weights(5), TopKObjective(variant, DIM, CPU, 8)
        objective._floor = floor
        objective.accumulate(weights, Step(inputs, targets, K, silence, DEAD_AFTER, 1.0))
        gradients.append(weights.encoder.grad)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


def test_the_accelerator_path_selects_what_the_cpu_path_selects() -> None:
    responses = torch.randn(31, SIZE, generator=torch.Generator().manual_seed(0))
    flat = sparse_ops.flat_candidates(responses, 31 * K)
    floored = sparse_ops.largest(sparse_ops.floor_candidates(responses, 0.0), 31 * K)
    for one, other in zip(flat, floored, strict=True):
        assert torch.equal(one, other)


def test_a_fixed_pool_with_living_latents_gives_the_gradients_of_the_dead_ones_alone() -> None:
    """On an accelerator the pool has a fixed size and a mask; on a CPU it is cut to the dead."""
    variant = TopK(width=SIZE, k=K, aux_coefficient=0.3, aux_k=6)
    inputs, targets = random_batch(6)
    silence = torch.arange(SIZE) + 40
    exact, masked = random_weights(7), random_weights(7)
    objective = TopKObjective(variant, DIM, CPU)
    objective.accumulate(exact, Step(inputs, targets, K, silence, 85, 1.0))
    pool = objective._dead_pool(silence, 85)
    assert pool is not None
    assert len(pool.latents) == 8
    longest = silence.topk(24)
    objective._dead_pool = lambda silence, dead_after: type(pool)(longest.indices, longest.values >= 85)  # type: ignore[method-assign]
    objective.accumulate(masked, Step(inputs, targets, K, silence, 85, 1.0))
    for one, other in zip(exact.tensors, masked.tensors, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-10)


def test_auxk_moves_the_encoder_rows_of_dead_latents() -> None:
    variant = BatchTopK(width=SIZE, k=1, aux_k=6)
    weights, (inputs, targets) = random_weights(8), random_batch(9)
    weights.encoder_bias[:4] = -100.0
    silence = torch.zeros(SIZE, dtype=torch.int64)
    silence[:4] = DEAD_AFTER
    TopKObjective(variant, DIM, CPU).accumulate(weights, Step(inputs, targets, 1, silence, DEAD_AFTER, 1.0))
    assert weights.encoder.grad is not None
    assert (weights.encoder.grad[:4].norm(dim=1) > 0).all()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("matryoshka", [None, (0.3, 1.0)])
def test_relu_l1_gradients_equal_dense_differentiation(reduction: str, matryoshka: tuple[float, ...] | None) -> None:
    variant = ReluL1(width=SIZE, coefficient=0.07, reduction=reduction, matryoshka=matryoshka)  # type: ignore[arg-type]
    weights, (inputs, targets) = random_weights(10), random_batch(11)
    figures = ReluL1Objective(variant, DIM, CPU, 8).accumulate(weights, Step(inputs, targets, 0, torch.zeros(SIZE), 1, 1.0))
    dense = [tensor.detach().clone().requires_grad_() for tensor in weights.tensors]
    encoder, encoder_bias, decoder, decoder_bias = dense
    codes = ((inputs - decoder_bias) @ encoder.T + encoder_bias).relu()
    squares = [(codes[:, :end] @ decoder[:end] + decoder_bias - targets).square() for end in prefix_ends(SIZE, matryoshka)]
    reduced = [square.mean(dim=1) if reduction == "mean" else square.sum(dim=1) for square in squares]
    (torch.stack(reduced).mean(dim=0) + 0.07 * codes.sum(dim=1)).mean().backward()
    for tensor, reference in zip(weights.tensors, dense, strict=True):
        torch.testing.assert_close(tensor.grad, reference.grad, rtol=1e-6, atol=1e-9)
    assert figures.active == pytest.approx(float((codes > 0).double().sum() / BATCH), rel=1e-6)


def test_resampling_changes_dead_latents_only_and_clears_their_moments() -> None:
    variant = ReluL1(width=SIZE)
    weights, (inputs, _) = random_weights(12), random_batch(13)
    before = weights.clone()
    moments = [(torch.ones_like(tensor), torch.ones_like(tensor)) for tensor in weights.tensors]
    objective = ReluL1Objective(variant, DIM, CPU)
    objective.fired[:] = True
    dead = torch.tensor([2, 30])
    objective.fired[dead] = False
    assert objective.resample(weights, moments, inputs.split(10), torch.Generator().manual_seed(0)) == 2
    living = torch.ones(SIZE, dtype=torch.bool).index_fill(0, dead, False)
    for tensor, old in zip(weights.tensors[:3], before.tensors[:3], strict=True):
        assert torch.equal(tensor[living], old[living])
        assert not torch.equal(tensor[dead], old[dead])
    cosines = torch.nn.functional.normalize(inputs, dim=1) @ weights.decoder[dead].T
    torch.testing.assert_close(cosines.max(dim=0).values, torch.ones(2, dtype=torch.float64))
    expected = 0.2 * before.encoder[living].norm(dim=1).mean()
    torch.testing.assert_close(weights.encoder[dead].norm(dim=1), expected.expand(2))
    for first, second in moments[:3]:
        assert not first[dead].any()
        assert not second[dead].any()
        assert first[living].all()
    assert moments[3][0].all()
    assert not objective.fired.any()


def test_rows_for_resampling_never_exceed_the_set() -> None:
    objective = ReluL1Objective(ReluL1(width=SIZE), DIM, CPU)
    assert sorted(objective.resampling_rows(100, torch.Generator().manual_seed(0)).tolist()) == list(range(100))


def test_decoder_gradients_have_no_radial_part_and_rows_keep_unit_length() -> None:
    weights = random_weights(14)
    normalise_decoder(weights)
    weights.decoder.grad = torch.randn(SIZE, DIM, generator=torch.Generator().manual_seed(15), dtype=torch.float64)
    remove_radial_gradient(weights)
    assert (weights.decoder.grad * weights.decoder).sum(dim=1).abs().max() < 1e-12
    np.testing.assert_allclose(weights.decoder.norm(dim=1), 1)


@pytest.mark.parametrize(
    ("width", "fractions", "ends"), [(10, None, (10,)), (10, (0.25, 0.5, 1.0), (2, 5, 10)), (3, (0.01, 0.02, 1.0), (1, 2, 3))]
)
def test_prefixes_grow_and_end_at_the_width(width: int, fractions: tuple[float, ...] | None, ends: tuple[int, ...]) -> None:
    assert prefix_ends(width, fractions) == ends
