"""Reconstruction figures against closed forms and a brute-force recomputation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cbm.core.bottleneck import CHUNK_ROWS
from cbm.core.errors import InvalidInputError
from cbm.dictionaries.baselines import baselines_table
from cbm.dictionaries.fixed import random_dictionary
from cbm.dictionaries.linear import NeuronDictionary, PcaDictionary
from cbm.metrics.reconstruction import ReconstructionAccumulators, ReconstructionMetrics, measure_reconstruction

DIM = 12


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    generator = np.random.default_rng(0)
    # More rows than one chunk, and a mean far from zero, where formulas about zero go wrong.
    return (generator.normal(size=(CHUNK_ROWS + 300, DIM)) * np.linspace(0.3, 2, DIM) + 8).astype(np.float32)


def test_predicting_the_mean_explains_nothing_although_its_raw_cosine_is_high(embeddings: np.ndarray) -> None:
    metrics = measure_reconstruction(PcaDictionary.learn(embeddings, components=1, k=0), embeddings)
    assert metrics.fvu == pytest.approx(1, abs=1e-6)
    assert metrics.cosine_raw > 0.95
    assert metrics.cosine_centred == pytest.approx(0, abs=0.05)
    assert metrics.l0_mean == 0
    assert metrics.dead == 1


def test_a_perfect_reconstruction_has_no_error(embeddings: np.ndarray) -> None:
    metrics = measure_reconstruction(PcaDictionary.learn(embeddings, k=DIM), embeddings)
    assert metrics.fvu == pytest.approx(0, abs=1e-8)
    assert metrics.cosine_raw == pytest.approx(1)
    assert metrics.cosine_centred == pytest.approx(1)
    assert (metrics.l0_mean, metrics.l0_p50, metrics.dead, metrics.dense) == (DIM, DIM, 0, 1)


def test_all_figures_equal_a_direct_computation(embeddings: np.ndarray) -> None:
    dictionary = random_dictionary(embeddings, size=50, k=4, seed=1)
    metrics = measure_reconstruction(dictionary, embeddings)
    codes = dictionary.encode(embeddings)
    dense, rebuilt = codes.to_dense(), dictionary.decode(codes).astype(np.float64)
    original = embeddings.astype(np.float64)
    mean = original.mean(axis=0)

    def cosine(first: np.ndarray, second: np.ndarray) -> float:
        return float(((first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)).mean())

    assert metrics.fvu == pytest.approx(np.square(original - rebuilt).sum() / np.square(original - mean).sum())
    assert metrics.cosine_raw == pytest.approx(cosine(original, rebuilt))
    active = (dense != 0).sum(axis=1)
    moved = np.linalg.norm(rebuilt - mean, axis=1) > 1e-10
    assert metrics.cosine_centred == pytest.approx(cosine((original - mean)[moved], (rebuilt - mean)[moved]) * moved.mean())
    assert (metrics.l0_mean, metrics.l0_p5, metrics.l0_p95) == (active.mean(), np.quantile(active, 0.05), np.quantile(active, 0.95))
    density = (dense != 0).mean(axis=0)
    assert metrics.dead == pytest.approx((density == 0).mean())
    assert metrics.dense == pytest.approx((density > 0.1).mean())
    assert sum(metrics.density_histogram) == (density > 0).sum()
    assert len(metrics.density_histogram) == 50
    assert metrics.window == len(embeddings)


def test_fvu_is_that_of_the_whole_set_not_the_mean_over_chunks(embeddings: np.ndarray) -> None:
    """A sorted set has chunks with different means; the variance must still be about the mean of all."""
    ordered = embeddings[embeddings[:, -1].argsort()]
    dictionary = NeuronDictionary.learn(embeddings, k=3)
    assert measure_reconstruction(dictionary, ordered).fvu == pytest.approx(measure_reconstruction(dictionary, embeddings).fvu)


def test_signed_codes_count_as_active(embeddings: np.ndarray) -> None:
    assert measure_reconstruction(NeuronDictionary.learn(embeddings, k=3), embeddings).l0_mean == 3


def test_metrics_cannot_be_made_up(embeddings: np.ndarray) -> None:
    metrics = measure_reconstruction(NeuronDictionary.learn(embeddings, k=3), embeddings)
    with pytest.raises(TypeError, match="from_accumulators"):
        ReconstructionMetrics(**metrics.to_json())
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(metrics, fvu=0.0)


def test_sets_without_variance_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="two different"):
        ReconstructionMetrics.from_accumulators(ReconstructionAccumulators(3, np.zeros(2)))


def test_the_table_orders_baselines_as_theory_does(embeddings: np.ndarray) -> None:
    rows = {row.name: row.metrics for row in baselines_table(embeddings[:1000], embeddings[1000:], k=4, seed=0, size=60)}
    assert set(rows) == {"mean", "pca-4", "pca-top-4", "k-means", "random", "neurons"}
    assert rows["mean"].fvu == pytest.approx(1, abs=0.05)
    assert rows["pca-top-4"].fvu <= rows["pca-4"].fvu < rows["mean"].fvu
    assert rows["k-means"].l0_mean == 1
