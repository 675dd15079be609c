"""Naming rules against brute force, and against a world in which the right names are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

import cbm.names.candidates
import cbm.names.votes
from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.names.candidates import BestCandidates
from cbm.names.rules import name_concepts
from cbm.names.soft_wpmi import SoftWpmiConfig
from cbm.names.soft_wpmi_scores import soft_wpmi
from cbm.names.threshold import measured_threshold
from cbm.names.top_images import top_images
from cbm.names.votes import Votes, VotesConfig
from cbm.registry import RULES

IMAGES, LATENTS, NAMES, DIM = 60, 12, 37, 9


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def random_codes(generator: np.random.Generator, images: int = IMAGES, latents: int = LATENTS, k: int = 4) -> Codes:
    indices = np.stack([generator.choice(latents - 1, k, replace=False) for _ in range(images)])
    values = generator.uniform(0.1, 2, size=(images, k)) * (generator.random((images, k)) < 0.8)
    return Codes(indices.astype(np.int32), values.astype(np.float32), latents)


def unit(generator: np.random.Generator, rows: int) -> np.ndarray:
    return unit_rows(generator.normal(size=(rows, DIM)) + 0.7)


def brute_force_soft_wpmi(codes: Codes, images: np.ndarray, names: np.ndarray, config: SoftWpmiConfig) -> np.ndarray:
    """The formula, term by term, in double precision."""
    probability = softmax(config.sharpness * images.astype(float) @ names.T.astype(float), axis=1)
    belongs = np.linspace(config.first, config.last, config.top)
    dense = codes.to_dense()
    likelihood = np.full((codes.size, len(names)), -np.inf)
    for latent in range(codes.size):
        order = [image for image in np.argsort(-dense[:, latent], kind="stable") if dense[image, latent] > 0][: config.top]
        if order:
            terms = [np.log(1 + belongs[rank] * (probability[image] - 1) + 1e-7) for rank, image in enumerate(order)]
            likelihood[latent] = np.sum(terms, axis=0)
    alive = np.isfinite(likelihood).all(axis=1)
    likelihood[alive] -= config.correction * (logsumexp(likelihood[alive], axis=0) - np.log(alive.sum()))
    return likelihood


def brute_force_votes(codes: Codes, images: np.ndarray, names: np.ndarray, config: VotesConfig) -> np.ndarray:
    similarity = images.astype(float) @ names.T.astype(float)
    votes = softmax(config.sharpness * (similarity - similarity.mean(axis=0)) / similarity.std(axis=0), axis=1)
    weights = np.maximum(codes.to_dense(), 0).astype(float) ** config.power
    return (weights.T @ votes) / np.maximum(weights.sum(axis=0), 1e-300)[:, None]


def test_candidates_over_chunks_equal_a_full_sort(generator: np.random.Generator) -> None:
    scores = generator.normal(size=(LATENTS, NAMES)).astype(np.float32)
    best = BestCandidates(LATENTS, 5)
    for start in range(0, NAMES, 7):
        best.add(scores[:, start : start + 7], start)
    np.testing.assert_array_equal(best.indices, np.argsort(-scores, axis=1)[:, :5])
    np.testing.assert_array_equal(best.scores, -np.sort(-scores, axis=1)[:, :5])


def test_of_equal_scores_the_earlier_name_wins() -> None:
    best = BestCandidates(1, 3)
    for start in (0, 4):
        best.add(np.zeros((1, 4), np.float32), start)
    assert best.indices.tolist() == [[0, 1, 2]]


def test_the_dn_cbm_rule_is_the_plain_cosine(generator: np.random.Generator) -> None:
    directions, names = generator.normal(size=(LATENTS, DIM)), 3 * unit(generator, NAMES)
    naming = name_concepts(directions, names, rule="cosine")
    cosines = (directions @ names.T) / np.linalg.norm(directions, axis=1)[:, None] / np.linalg.norm(names, axis=1)
    np.testing.assert_array_equal(naming.names, cosines.argmax(axis=1))
    np.testing.assert_allclose(naming.score, cosines.max(axis=1), atol=1e-5)


def test_the_centred_rule_does_not_see_what_all_texts_share(generator: np.random.Generator) -> None:
    directions, names = generator.normal(size=(LATENTS, DIM)), unit(generator, NAMES)
    centred = names - names.mean(axis=0)
    cosines = unit_rows(directions) @ unit_rows(centred).T
    naming = name_concepts(directions, names, rule="centred")
    np.testing.assert_array_equal(naming.candidates, np.argsort(-cosines, axis=1)[:, :5])


@pytest.mark.parametrize("top", [3, 100])
@pytest.mark.parametrize("correction", [0.0, 1.0])
def test_soft_wpmi_equals_the_formula_term_by_term(
    generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch, top: int, correction: float
) -> None:
    monkeypatch.setattr(cbm.names.candidates, "NAMES_AT_A_TIME", 10)
    codes, images, names = random_codes(generator), unit(generator, IMAGES), unit(generator, NAMES)
    config = SoftWpmiConfig(top=top, correction=correction)
    expected = brute_force_soft_wpmi(codes, images, names, config)
    best = soft_wpmi(codes, images, names, candidates=NAMES, config=config)
    alive = np.isfinite(expected).all(axis=1)
    assert not alive.all()
    np.testing.assert_allclose(best.scores[alive], -np.sort(-expected[alive], axis=1), atol=2e-4)
    np.testing.assert_allclose(np.take_along_axis(expected[alive], best.indices[alive].astype(int), axis=1), best.scores[alive], atol=2e-4)
    assert np.all(np.isneginf(best.scores[~alive]))


def test_votes_equal_the_formula_in_chunks(generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbm.names.votes, "_SCORES_AT_A_TIME", IMAGES * 5)
    codes, images, names = random_codes(generator), unit(generator, IMAGES), unit(generator, NAMES)
    config = VotesConfig(sharpness=1.7, power=2.5)
    chunks = list(Votes(codes, images, names, config).chunks())
    assert len(chunks) == 8
    shares = np.concatenate([share for _, share in chunks], axis=1)
    np.testing.assert_allclose(shares, brute_force_votes(codes, images, names, config), atol=1e-5)
    np.testing.assert_allclose(shares.sum(axis=1)[: LATENTS - 1], 1, atol=1e-4)


def test_negative_activations_cast_no_votes(generator: np.random.Generator) -> None:
    images, names = unit(generator, IMAGES), unit(generator, NAMES)
    positive = random_codes(generator)
    values = positive.values.copy()
    values[::2] *= -1
    mixed = Codes(positive.indices, values, LATENTS)
    only_positive = Codes(positive.indices, np.maximum(values, 0), LATENTS)
    for first, second in zip(Votes(mixed, images, names).chunks(), Votes(only_positive, images, names).chunks(), strict=True):
        np.testing.assert_array_equal(first[1], second[1])


def test_the_combined_rule_adds_direction_and_votes(generator: np.random.Generator) -> None:
    codes, images, names = random_codes(generator), unit(generator, IMAGES), unit(generator, NAMES)
    directions = generator.normal(size=(LATENTS, DIM))
    naming = name_concepts(directions, names, rule="combined", codes=codes, embeddings=images, candidates=NAMES)
    keys, centred = unit_rows(names - names.mean(axis=0)), unit_rows(images - images.mean(axis=0))
    config = VotesConfig()
    expected = unit_rows(directions) @ keys.T + 0.1 * np.log(brute_force_votes(codes, centred, keys, config) + 1e-5)
    np.testing.assert_allclose(naming.scores, -np.sort(-expected, axis=1), atol=1e-4)


def test_top_images_come_from_sparse_codes_strongest_first(generator: np.random.Generator) -> None:
    codes = random_codes(generator)
    dense = codes.to_dense()
    found = top_images(codes, 4)
    for latent in range(LATENTS):
        expected = [image for image in np.argsort(-dense[:, latent], kind="stable") if dense[image, latent] > 0][:4]
        assert found.rows[latent, : found.counts[latent]].tolist() == expected


def planted_world(generator: np.random.Generator, names: int = 40) -> tuple[np.ndarray, np.ndarray, Codes, np.ndarray]:
    """Images show one thing each; images and texts of a thing share a direction but sit around different means, and texts are noisy."""
    things = unit_rows(generator.normal(size=(names, 32)))
    shown = generator.integers(names, size=1500)
    images = unit_rows(things[shown] + 2 * unit_rows(generator.normal(size=(1, 32))) + 0.1 * generator.normal(size=(1500, 32)))
    texts = unit_rows(things + 2 * unit_rows(generator.normal(size=(1, 32))) + 0.08 * generator.normal(size=(names, 32)))
    codes = Codes(shown[:, None].astype(np.int32), generator.uniform(0.5, 1.5, size=(1500, 1)).astype(np.float32), names)
    return things, images, codes, texts


@pytest.mark.parametrize("rule", ["centred", "soft-wpmi", "combined"])
def test_planted_names_are_found(generator: np.random.Generator, rule: str) -> None:
    things, images, codes, texts = planted_world(generator)
    naming = name_concepts(things - things.mean(axis=0), texts, rule=rule, codes=codes, embeddings=images)
    assert np.mean(naming.names == np.arange(len(things))) >= 0.9


@pytest.mark.parametrize("rule", RULES.names)
def test_order_of_latents_and_scale_of_activations_do_not_matter(generator: np.random.Generator, rule: str) -> None:
    things, images, codes, texts = planted_world(generator)
    naming = name_concepts(things, texts, rule=rule, codes=codes, embeddings=images)
    order = generator.permutation(len(things))
    position = np.argsort(order).astype(np.int32)
    shuffled = Codes(position[codes.indices], 3 * codes.values, codes.size)
    again = name_concepts(things[order], texts, rule=rule, codes=shuffled, embeddings=images)
    np.testing.assert_array_equal(again.names, naming.names[order])
    np.testing.assert_allclose(again.score, naming.score[order], atol=1e-4)


@pytest.mark.parametrize("rule", ["centred", "soft-wpmi", "combined"])
def test_right_names_score_above_the_measured_threshold_and_meaningless_ones_mostly_below(
    generator: np.random.Generator, rule: str
) -> None:
    things, images, codes, texts = planted_world(generator)
    threshold = measured_threshold(texts, rule=rule, codes=codes, embeddings=images)
    assert threshold == measured_threshold(texts, rule=rule, codes=codes, embeddings=images)
    planted = name_concepts(things - things.mean(axis=0), texts, rule=rule, codes=codes, embeddings=images)
    assert np.mean(planted.score > threshold) >= 0.95
    assert threshold < measured_threshold(texts, rule=rule, codes=codes, embeddings=images, quantile=0.95)
    if rule == "soft-wpmi":
        return  # its scores are relative to the latents named together, and shuffled ones have no better company
    shuffled = Codes(generator.permutation(codes.indices), codes.values, codes.size)
    meaningless = name_concepts(generator.normal(size=things.shape), texts, rule=rule, codes=shuffled, embeddings=images)
    assert np.mean(meaningless.score > threshold) <= 0.65


def test_a_small_vocabulary_gives_fewer_candidates(generator: np.random.Generator) -> None:
    naming = name_concepts(generator.normal(size=(LATENTS, DIM)), unit(generator, 2), rule="centred")
    assert naming.candidates.shape == (LATENTS, 2)


@pytest.mark.wrong_types
def test_rules_say_what_they_lack(generator: np.random.Generator) -> None:
    directions, names, codes = generator.normal(size=(LATENTS, DIM)), unit(generator, NAMES), random_codes(generator)
    with pytest.raises(InvalidInputError, match="Unknown naming rule"):
        name_concepts(directions, names, rule="guess")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="looks at images"):
        name_concepts(directions, names, rule="combined")
    with pytest.raises(InvalidInputError, match="do not fit"):
        name_concepts(directions, names, rule="soft-wpmi", codes=codes, embeddings=unit(generator, IMAGES - 1))
    with pytest.raises(InvalidInputError, match="dimension"):
        name_concepts(directions, names[:, :-1], rule="cosine")
    with pytest.raises(InvalidInputError):
        name_concepts(directions, names[:0], rule="cosine")
