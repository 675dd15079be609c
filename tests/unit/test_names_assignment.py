"""Unique names, thresholds and hubs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbm.metrics.naming import NamingQuality, names_against_truth
from cbm.names.assignment import assign_unique, hub_counts, with_threshold
from cbm.names.rules import Naming


def random_naming(seed: int, latents: int, names: int, candidates: int) -> Naming:
    generator = np.random.default_rng(seed)
    scores = -np.sort(-generator.normal(size=(latents, candidates)), axis=1)
    chosen = np.stack([generator.choice(names, candidates, replace=False) for _ in range(latents)])
    return Naming(chosen.astype(np.int32), scores.astype(np.float32), "centred")


namings = st.builds(random_naming, st.integers(0, 10_000), st.integers(1, 12), st.integers(4, 14), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(namings)
def test_no_name_serves_two_latents(naming: Naming) -> None:
    unique = assign_unique(naming)
    names = unique.names[unique.named]
    assert len(set(names.tolist())) == len(names)
    for latent in np.flatnonzero(unique.named):
        assert unique.names[latent] in naming.candidates[latent]
    assert hub_counts(unique) == {}


def test_greedy_serves_the_best_score_first_and_leaves_the_rest_unnamed() -> None:
    naming = Naming(np.array([[0, 1], [0, 1], [0, 1]], np.int32), np.array([[0.5, 0.1], [0.9, 0.2], [0.4, 0.3]], np.float32), "cosine")
    unique = assign_unique(naming)
    assert unique.named.tolist() == [False, True, True]
    assert unique.names[1:].tolist() == [0, 1]
    np.testing.assert_allclose(unique.score[1:], [0.9, 0.3])


def test_a_name_without_a_finite_score_is_no_name() -> None:
    scores = np.array([[-np.inf, -np.inf], [0.2, 0.1]], np.float32)
    naming = Naming(np.array([[0, 1], [0, 1]], np.int32), scores, "soft-wpmi")
    assert naming.named.tolist() == [False, True]
    assert assign_unique(naming).named.tolist() == [False, True]


def test_below_the_threshold_latents_stay_unnamed() -> None:
    naming = random_naming(3, 10, 20, 4)
    limit = float(np.median(naming.score))
    assert with_threshold(naming, limit).named.tolist() == (naming.score >= limit).tolist()
    assert with_threshold(naming, None).named.all()
    assert with_threshold(assign_unique(naming), 99.0).named.sum() == 0


def test_hubs_are_counted_most_frequent_first() -> None:
    names = np.array([[4], [2], [4], [4], [2], [7]], np.int32)
    assert hub_counts(Naming(names, np.ones((6, 1), np.float32), "cosine")) == {4: 3, 2: 2}


def test_quality_counts_named_distinct_and_hubs() -> None:
    names = np.array([[1]] * 12 + [[2], [3], [3], [5]], np.int32)
    scores = np.linspace(1, 0, 16, dtype=np.float32)[:, None]
    naming = with_threshold(Naming(names, scores, "cosine"), 0.05)
    quality = NamingQuality.of(naming.names, naming.score, naming.named)
    assert (quality.latents, quality.named, quality.distinct, quality.hubs, quality.largest_hub) == (16, 15, 3, 1, 12)
    assert quality.mean_score == pytest.approx(float(scores[:15].mean()), abs=1e-6)
    assert quality.share_named == 15 / 16
    assert quality.share_unique == 3 / 15
    assert quality.to_json()["share_named"] == 15 / 16


def test_names_against_truth_counts_first_and_candidates() -> None:
    naming = Naming(np.array([[3, 1], [2, 0], [5, 4]], np.int32), np.ones((3, 2), np.float32), "cosine")
    right = names_against_truth(naming.candidates, [(0, 3), (1, 0), (2, 1)])
    assert (right.tested, right.first, right.among_candidates) == (3, 1, 2)
    assert right.at_1 == pytest.approx(1 / 3)
    assert right.at_5 == pytest.approx(2 / 3)
    assert names_against_truth(naming.candidates, {}).at_1 == 0
