"""Training: known structure is found, the result is calibrated, and stopping or resuming changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.progress import Progress
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.calibration import recalibrated
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.dn_cbm import DN_CBM
from cbm.dictionaries.relu_l1 import ReluL1
from cbm.dictionaries.topk import TopK
from cbm.dictionaries.trainer import TrainedDictionary, train

DIM = 24


def planted(count: int, *, concepts: int, dim: int, active: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sparse non-negative sums of unit directions, plus an offset and noise: (embeddings, directions)."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(concepts, dim))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chosen = generator.random((count, concepts)).argsort(axis=1)[:, :active]
    codes = np.zeros((count, concepts))
    np.put_along_axis(codes, chosen, generator.uniform(0.5, 1.5, chosen.shape), axis=1)
    embeddings = codes @ directions + generator.normal(size=dim) + 0.02 * generator.normal(size=(count, dim))
    return embeddings.astype(np.float32), directions.astype(np.float32)


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    return planted(600, concepts=40, dim=DIM, active=4, seed=3)[0]


def small_config(variant: TopK | BatchTopK | ReluL1 | None = None, **changes: object) -> TrainingConfig:
    variant = variant or BatchTopK(width=60, k=4)
    config = TrainingConfig(
        variant=variant, epochs=6, batch_size=100, evaluate_every=5, chunk_rows=64, seed=5, averaging=0.9, calibration_share=0
    )
    return dataclasses.replace(config, **changes)


def stop_after(step: int) -> tuple[Callable[[Progress], None], Callable[[], bool]]:
    """A progress callback and a cancel check that asks to stop once `step` steps are done."""
    seen: list[int] = []
    return (lambda progress: seen.append(progress.done)), (lambda: bool(seen) and seen[-1] >= step)


def same_bytes(first: TrainedDictionary, second: TrainedDictionary) -> bool:
    pairs = zip(first.dictionary.tensors().items(), second.dictionary.tensors().items(), strict=True)
    return all(a == b and x.tobytes() == y.tobytes() for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("variant", [BatchTopK(width=160, k=4), TopK(width=160, k=4), BatchTopK(width=160, k=4, matryoshka=(0.5, 1.0))])
def test_planted_directions_are_recovered(variant: TopK) -> None:
    embeddings, directions = planted(6000, concepts=80, dim=64, active=4, seed=0)
    trained = train(embeddings, TrainingConfig(variant=variant, samples=100_000))
    cosines = (directions @ trained.dictionary.directions.T).max(axis=1)
    assert cosines.mean() > 0.9


@pytest.mark.parametrize("variant", [BatchTopK(width=60, k=4), TopK(width=60, k=4), ReluL1(width=60, k=4)])
def test_the_threshold_hits_k_within_two_percent(small: np.ndarray, variant: TopK | ReluL1) -> None:
    codes = train(small, small_config(variant)).dictionary.encode(small)
    assert (codes.values > 0).sum(axis=1).mean() == pytest.approx(4, rel=0.02)


def test_calibration_on_rows_kept_out_of_training_holds_for_new_rows() -> None:
    embeddings = planted(5000, concepts=40, dim=DIM, active=4, seed=3)[0]
    known, new = embeddings[:1000], embeddings[1000:]

    def active_on_new(share: float) -> float:
        config = small_config(BatchTopK(width=200, k=4), epochs=20, calibration_share=share)
        return float((train(known, config).dictionary.encode(new).values > 0).sum(axis=1).mean())

    kept_out, on_known = active_on_new(0.2), active_on_new(0.0)
    assert kept_out == pytest.approx(4, rel=0.15)
    assert abs(kept_out - 4) < abs(on_known - 4)


def test_recalibration_brings_other_images_to_k(small: np.ndarray) -> None:
    dictionary = recalibrated(train(small, small_config()).dictionary, small * 3, 6)
    assert (dictionary.encode(small * 3).values > 0).sum(axis=1).mean() == pytest.approx(6, rel=0.02)


@pytest.mark.parametrize("variant", [BatchTopK(width=60, k=4), TopK(width=60, k=4), ReluL1(width=60, resample_every=2)])
def test_a_cancelled_training_resumes_to_the_same_bytes(small: np.ndarray, tmp_path: Path, variant: TopK | ReluL1) -> None:
    config = small_config(variant)
    progress, cancelled = stop_after(17)
    whole = train(small, config)
    part = train(small, config, checkpoint=tmp_path / "state", progress=progress, cancelled=cancelled)
    assert part.cancelled
    assert (tmp_path / "state").is_file()
    resumed = train(small, config, checkpoint=tmp_path / "state")
    assert not resumed.cancelled
    assert same_bytes(whole, resumed)
    assert whole.history == resumed.history
    assert not (tmp_path / "state").exists()


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(small: np.ndarray) -> None:
    first, second, other = (train(small, small_config(seed=seed)) for seed in (5, 5, 6))
    assert same_bytes(first, second)
    assert not same_bytes(first, other)


def test_cancelling_keeps_the_best_weights_so_far(small: np.ndarray) -> None:
    progress, cancelled = stop_after(20)
    # A learning rate this high makes the last weights worse than earlier ones.
    config = small_config(learning_rate=1.0, warm_up=1.0, annealing=0.0, averaging=0.0)
    trained = train(small, config, progress=progress, cancelled=cancelled)
    fvu_by_step = [point.fvu for point in trained.history]
    centred = small - small.mean(axis=0)
    error = trained.dictionary.decode(trained.dictionary.encode(small)) - small
    assert trained.cancelled
    assert float(np.square(error).sum() / np.square(centred).sum()) == pytest.approx(min(fvu_by_step), rel=1e-3)


@pytest.mark.parametrize("inputs", ["centred", "raw"])
def test_a_checkpoint_of_other_embeddings_is_refused(small: np.ndarray, tmp_path: Path, inputs: str) -> None:
    progress, cancelled = stop_after(5)
    config = small_config(inputs=inputs)
    train(small, config, checkpoint=tmp_path / "state", progress=progress, cancelled=cancelled)
    with pytest.raises(MismatchError, match="other embeddings"):
        train(small + 1.0, config, checkpoint=tmp_path / "state")


def test_cancelling_does_not_wait_for_the_next_evaluation(small: np.ndarray, tmp_path: Path) -> None:
    config = small_config(evaluate_every=1000)
    asked: list[None] = []
    part = train(small, config, checkpoint=tmp_path / "state", cancelled=lambda: bool(asked.append(None)) or len(asked) == 3)
    assert part.cancelled
    assert len(asked) == 3
    assert same_bytes(train(small, config), train(small, config, checkpoint=tmp_path / "state"))


def test_one_matryoshka_prefix_of_everything_is_the_plain_autoencoder(small: np.ndarray) -> None:
    plain = train(small, small_config(BatchTopK(width=60, k=4)))
    nested = train(small, small_config(BatchTopK(width=60, k=4, matryoshka=(1.0,))))
    assert same_bytes(plain, nested)


def test_matryoshka_prefixes_reconstruct_better_alone_than_a_plain_prefix(small: np.ndarray) -> None:
    def error_of_first_quarter(variant: BatchTopK) -> float:
        dictionary = train(small, small_config(variant, epochs=30, learning_rate=3e-3)).dictionary
        codes = dictionary.encode(small)
        kept = dataclasses.replace(codes, values=np.where(codes.indices < 15, codes.values, np.float32(0)))
        return float(np.square(dictionary.decode(kept) - small).sum())

    nested = error_of_first_quarter(BatchTopK(width=60, k=4, matryoshka=(0.25, 1.0)))
    assert nested < error_of_first_quarter(BatchTopK(width=60, k=4))


def test_scaling_the_embeddings_scales_the_reconstruction_and_keeps_the_codes(small: np.ndarray) -> None:
    original = train(small, small_config()).dictionary
    # A power of two, so that floating point rounds both trainings alike.
    scaled = train(small * 8, small_config()).dictionary
    codes, scaled_codes = original.encode(small), scaled.encode(small * 8)
    np.testing.assert_allclose(scaled_codes.to_dense(), codes.to_dense(), atol=1e-4)
    np.testing.assert_allclose(scaled.decode(scaled_codes), original.decode(codes) * 8, atol=1e-3)


def test_validation_rows_choose_the_weights_and_the_threshold(small: np.ndarray) -> None:
    trained = train(small[:500], small_config(), validation=small[500:])
    codes = trained.dictionary.encode(small[500:])
    assert (codes.values > 0).sum(axis=1).mean() == pytest.approx(4, rel=0.02)


def test_progress_reports_the_figures_and_ends_at_the_last_step(small: np.ndarray) -> None:
    reports: list[Progress] = []
    trained = train(small, small_config(), progress=reports.append)
    assert reports[-1].done == reports[-1].total == trained.history[-1].step
    assert set(reports[-1].figures) == {"fvu", "l0", "dead"}
    assert trained.samples_per_second > 0


def test_decoder_rows_have_unit_length_and_survive_saving(small: np.ndarray, tmp_path: Path) -> None:
    dictionary = train(small, small_config()).dictionary
    np.testing.assert_allclose(np.linalg.norm(dictionary.decoder, axis=1), 1, atol=1e-5)
    dictionary.save(tmp_path)
    loaded = load_dictionary(tmp_path)
    assert loaded.encode(small).values.tobytes() == dictionary.encode(small).values.tobytes()


def test_a_read_only_half_precision_array_trains(small: np.ndarray) -> None:
    half = small.astype(np.float16)
    half.flags.writeable = False
    assert train(half, small_config()).dictionary.dim == DIM


def test_resampling_on_small_sets_revives_dead_latents(small: np.ndarray) -> None:
    published = dataclasses.replace(DN_CBM, variant=ReluL1(width=120, coefficient=0.05, reduction="mean", resample_every=2))
    base = dataclasses.replace(published, epochs=12, batch_size=100)
    never = dataclasses.replace(base, variant=dataclasses.replace(base.variant, resample_every=None))
    assert train(small, base).history[-1].dead <= train(small, never).history[-1].dead


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros((5, 3), np.float32), "same vector"),
        (np.full((5, 3), np.nan, np.float32), "not finite"),
        (np.zeros(5, np.float32), "two rows"),
    ],
)
@pytest.mark.parametrize("inputs", ["centred", "raw"])
@pytest.mark.wrong_types
def test_embeddings_that_cannot_be_learned_from_are_refused(embeddings: np.ndarray, message: str, inputs: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        train(embeddings, small_config(inputs=inputs))


def test_validation_rows_that_are_not_finite_are_refused(small: np.ndarray) -> None:
    validation = small[:50].copy()
    validation[7, 0] = np.nan
    with pytest.raises(InvalidInputError, match="not finite"):
        train(small, small_config(), validation=validation)
