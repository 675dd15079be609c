"""What every dictionary promises, trained or baseline: sparse codes, decoding, directions, storage, independence of the batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbm.core.errors import CorruptArtifactError, InvalidInputError, MismatchError, NotFoundError
from cbm.dictionaries.base import Dictionary, load_dictionary
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.clusters import KMeansDictionary
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.dn_cbm import DN_CBM, dn_cbm
from cbm.dictionaries.fixed import random_dictionary
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.linear import NeuronDictionary, PcaDictionary
from cbm.dictionaries.relu_l1 import ReluL1
from cbm.dictionaries.schedule import Schedule
from cbm.dictionaries.topk import TopK
from cbm.registry import DICTIONARIES

DIM, SIZE, K = 13, 41, 5


def jumprelu(seed: int = 0) -> JumpReluDictionary:
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    threshold = generator.uniform(0.1, 3, SIZE).astype(np.float32)
    return JumpReluDictionary(normal(DIM, SIZE), normal(SIZE), normal(SIZE, DIM), normal(DIM), threshold, normal(DIM), 1.7)


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    generator = np.random.default_rng(1)
    return (generator.normal(size=(300, DIM)) @ generator.normal(size=(DIM, DIM)) + generator.normal(size=DIM)).astype(np.float32)


@pytest.fixture(scope="module", params=["jumprelu", "kmeans", "pca", "random", "neurons"])
def dictionary(request: pytest.FixtureRequest, embeddings: np.ndarray) -> Dictionary:
    match request.param:
        case "jumprelu":
            return jumprelu()
        case "kmeans":
            return KMeansDictionary.learn(embeddings, size=SIZE, seed=0)
        case "pca":
            return PcaDictionary.learn(embeddings, k=K)
        case "random":
            return random_dictionary(embeddings, size=SIZE, k=K, seed=0)
        case _:
            return NeuronDictionary.learn(embeddings, k=K)


def test_codes_do_not_depend_on_the_batch(dictionary: Dictionary, embeddings: np.ndarray) -> None:
    together = dictionary.encode(embeddings).to_dense()
    alone = np.concatenate([dictionary.encode(embeddings[[row]]).to_dense() for row in range(50)])
    np.testing.assert_allclose(alone, together[:50], rtol=1e-4, atol=1e-5)
    shuffled = np.random.default_rng(2).permutation(len(embeddings))
    np.testing.assert_allclose(dictionary.encode(embeddings[shuffled]).to_dense(), together[shuffled], rtol=1e-4, atol=1e-5)


def test_saving_and_loading_gives_the_same_bytes(dictionary: Dictionary, embeddings: np.ndarray, tmp_path: Path) -> None:
    dictionary.save(tmp_path)
    loaded = load_dictionary(tmp_path)
    assert type(loaded) is type(dictionary)
    before, after = dictionary.encode(embeddings), loaded.encode(embeddings)
    assert before.indices.tobytes() == after.indices.tobytes()
    assert before.values.tobytes() == after.values.tobytes()
    assert dictionary.decode(before).tobytes() == loaded.decode(after).tobytes()


def test_directions_are_unit_rows_and_one_per_latent(dictionary: Dictionary) -> None:
    assert dictionary.directions.shape == (dictionary.size, dictionary.dim)
    assert dictionary.directions.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(dictionary.directions, axis=1), 1, atol=1e-5)


def test_an_activation_moves_the_reconstruction_along_its_direction(dictionary: Dictionary, embeddings: np.ndarray) -> None:
    codes = dictionary.encode(embeddings[:1])
    latent = int(codes.indices[0, np.abs(codes.values[0]).argmax()])
    raised = type(codes)(codes.indices, np.where(codes.indices == latent, codes.values + np.float32(1), codes.values), codes.size)
    moved = (dictionary.decode(raised) - dictionary.decode(codes))[0]
    np.testing.assert_allclose(moved / np.linalg.norm(moved), dictionary.directions[latent], atol=1e-4)


def test_preactivations_agree_with_codes_where_latents_are_active(dictionary: Dictionary, embeddings: np.ndarray) -> None:
    latents = np.array([0, 3, dictionary.size - 1])
    responses = dictionary.preactivations(embeddings, latents)
    active = dictionary.encode(embeddings).to_dense()[:, latents]
    assert responses.shape == (len(embeddings), 3)
    if isinstance(dictionary, KMeansDictionary):
        # A cluster's activation is its centre's distance from the mean; its response is a projection.
        np.testing.assert_allclose(responses, (embeddings - dictionary.mean) @ dictionary.directions[latents].T, atol=1e-4)
        return
    np.testing.assert_allclose(responses[active != 0], active[active != 0], atol=1e-4)


def test_an_embedding_of_another_dimension_is_refused(dictionary: Dictionary) -> None:
    with pytest.raises(MismatchError, match="dimension 13"):
        dictionary.encode(np.zeros((2, DIM + 1), np.float32))


def test_no_embeddings_give_no_codes(dictionary: Dictionary) -> None:
    codes = dictionary.encode(np.zeros((0, DIM), np.float32))
    assert len(codes) == 0
    assert codes.size == dictionary.size


def test_jumprelu_computes_its_formula() -> None:
    dictionary, inputs = jumprelu(), np.random.default_rng(3).normal(size=(40, DIM)).astype(np.float32)
    responses = ((inputs - dictionary.mean) * dictionary.scale - dictionary.decoder_bias) @ dictionary.encoder + dictionary.encoder_bias
    expected = np.where(responses > dictionary.threshold, responses, 0)
    codes = dictionary.encode(inputs)
    np.testing.assert_allclose(codes.to_dense(), expected, atol=1e-4)
    rebuilt = (expected @ dictionary.decoder + dictionary.decoder_bias) / dictionary.scale + dictionary.mean
    np.testing.assert_allclose(dictionary.decode(codes), rebuilt, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_scaling_inputs_and_dictionary_together_keeps_the_codes(seed: int, factor: float) -> None:
    dictionary, inputs = jumprelu(seed), np.random.default_rng(seed + 1).normal(size=(8, DIM)).astype(np.float32)
    tensors = dictionary.tensors() | {"mean": dictionary.mean * np.float32(factor)}
    scaled = JumpReluDictionary(**tensors, scale=dictionary.scale / factor)
    codes, scaled_codes = dictionary.encode(inputs), scaled.encode(inputs * np.float32(factor))
    np.testing.assert_allclose(scaled_codes.to_dense(), codes.to_dense(), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(scaled.decode(codes), dictionary.decode(codes) * factor, rtol=1e-3, atol=1e-3 * factor)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(SIZE)))
def test_permuting_latents_permutes_codes_and_keeps_reconstructions(order: list[int]) -> None:
    dictionary, inputs = jumprelu(), np.random.default_rng(4).normal(size=(8, DIM)).astype(np.float32)
    tensors = dictionary.tensors()
    per_latent = {name: tensors[name][order] for name in ("encoder_bias", "decoder", "threshold")}
    permuted = JumpReluDictionary(**(tensors | per_latent | {"encoder": tensors["encoder"][:, order]}), scale=dictionary.scale)
    codes = permuted.encode(inputs)
    np.testing.assert_allclose(codes.to_dense(), dictionary.encode(inputs).to_dense()[:, order], atol=1e-5)
    np.testing.assert_allclose(permuted.decode(codes), dictionary.decode(dictionary.encode(inputs)), atol=1e-4)


def test_all_principal_components_reconstruct_exactly(embeddings: np.ndarray) -> None:
    dictionary = PcaDictionary.learn(embeddings, k=DIM)
    np.testing.assert_allclose(dictionary.decode(dictionary.encode(embeddings)), embeddings, atol=1e-3)


def test_leading_components_leave_the_trailing_eigenvalues(embeddings: np.ndarray) -> None:
    dictionary = PcaDictionary.learn(embeddings, k=4, components=4)
    eigenvalues = np.linalg.eigvalsh(np.cov(embeddings.T, bias=True).astype(np.float64))
    error = np.square(dictionary.decode(dictionary.encode(embeddings)) - embeddings).sum(axis=1).mean()
    assert error == pytest.approx(eigenvalues[:-4].sum(), rel=1e-3)


def test_k_means_reconstructs_the_nearest_centre(embeddings: np.ndarray) -> None:
    dictionary = KMeansDictionary.learn(embeddings, size=7, seed=0)
    nearest = np.linalg.norm(embeddings[:, None] - dictionary.centres, axis=2).argmin(axis=1)
    np.testing.assert_allclose(dictionary.decode(dictionary.encode(embeddings)), dictionary.centres[nearest], atol=1e-4)


def test_the_random_baseline_has_k_active_latents_on_average(embeddings: np.ndarray) -> None:
    codes = random_dictionary(embeddings, size=SIZE, k=K, seed=3).encode(embeddings)
    assert (codes.values > 0).sum(axis=1).mean() == pytest.approx(K, rel=0.02)


def test_more_clusters_than_embeddings_are_refused(embeddings: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="fewer clusters"):
        KMeansDictionary.learn(embeddings[:5], size=6)


def test_missing_damaged_and_newer_dictionaries_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_dictionary(tmp_path)
    jumprelu().save(tmp_path)
    header = json.loads((tmp_path / "dictionary.json").read_text())
    (tmp_path / "dictionary.json").write_text(json.dumps(header | {"schema": 99}))
    with pytest.raises(CorruptArtifactError, match="schema 99"):
        load_dictionary(tmp_path)
    (tmp_path / "dictionary.json").write_text(json.dumps(header))
    (tmp_path / "dictionary.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(CorruptArtifactError, match="damaged"):
        load_dictionary(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(),
        DN_CBM,
        TrainingConfig(TopK(64, 3, matryoshka=(0.25, 1.0)), epochs=3, seed=9),
        TrainingConfig(ReluL1(64, reduction="sum", k=4)),
    ],
)
def test_configurations_survive_json(config: TrainingConfig) -> None:
    assert TrainingConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_the_dn_cbm_preset_holds_the_published_constants() -> None:
    config = dn_cbm(512)
    assert config.variant == ReluL1(width=4096, coefficient=3e-5, reduction="mean", resample_every=10)
    assert (config.epochs, config.batch_size, config.learning_rate, config.seed, config.inputs) == (200, 4096, 5e-4, 49, "raw")
    assert (config.warm_up, config.decay, config.annealing, config.input_noise, config.averaging) == (0, 0, 0, 0, 0)
    schedule = Schedule.of(config, 4096 * 3, 512)
    resampled = [step // schedule.batches for step in range(schedule.steps) if schedule.resamples_before(step)]
    assert resampled == list(range(10, 181, 10))


@pytest.mark.parametrize(
    "make",
    [
        lambda: BatchTopK(width=4, k=5),
        lambda: TopK(matryoshka=(0.5, 0.9)),
        lambda: TopK(matryoshka=(0.5, 0.5, 1.0)),
        lambda: ReluL1(reduction="median"),
        lambda: TrainingConfig(warm_up=2.0),
        lambda: TrainingConfig(learning_rate=0.0),
        lambda: DICTIONARIES["vq"],
    ],
)
@pytest.mark.wrong_types
def test_settings_that_make_no_sense_are_refused(make) -> None:
    with pytest.raises(InvalidInputError):
        make()


def test_every_embedding_is_in_one_batch_of_an_epoch() -> None:
    schedule = Schedule.of(TrainingConfig(BatchTopK(64, 3), epochs=2, batch_size=100), 1037, 16)
    for epoch in range(2):
        batches = [schedule.batch(epoch * schedule.batches + index) for index in range(schedule.batches)]
        assert sorted(int(row) for batch in batches for row in batch) == list(range(1037))
        assert max(map(len, batches)) - min(map(len, batches)) <= 1


def test_k_falls_to_its_value_and_the_learning_rate_rises_and_falls() -> None:
    schedule = Schedule.of(TrainingConfig(BatchTopK(64, 3), epochs=100, batch_size=100, annealing_start=4), 1000, 48)
    ks = [schedule.k(step) for step in range(schedule.steps)]
    rates = [schedule.learning_rate_factor(step) for step in range(schedule.steps)]
    assert ks[0] == 12
    assert ks == sorted(ks, reverse=True)
    assert set(ks[100:]) == {3}
    assert rates[0] == pytest.approx(1 / 20)
    assert set(rates[20:800]) == {1.0}
    assert rates[-1] == pytest.approx(1 / 200)
