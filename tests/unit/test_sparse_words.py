"""SpLiCE and Z-CBM: images as sums of few words, beside the published recipe written out with scikit-learn."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Lasso

from cbm.backbones.reference import BackboneReference
from cbm.bottlenecks.part import Material
from cbm.bottlenecks.sparse_words import SparseWords
from cbm.bottlenecks.splice import SpliceSettings
from cbm.bottlenecks.z_cbm import ZCbmSettings
from cbm.core.arrays import unit_rows
from cbm.core.run import Run
from cbm.names.vocabulary import Vocabulary
from cbm.registry import METHODS

DIM, WORDS, ROWS = 24, 90, 150
SHOWN = 3
"""Words that every image shows."""
PENALTY = 0.2


@pytest.fixture(scope="module")
def shown() -> np.ndarray:
    """Which words each image shows. [rows, 3]"""
    generator = np.random.default_rng(0)
    return np.array([generator.permutation(WORDS)[:SHOWN] for _ in range(ROWS)])


@pytest.fixture(scope="module")
def material(shown: np.ndarray) -> Material:
    """Words about a common text, images that are sums of three words about a common image: two cones that hardly meet."""
    generator = np.random.default_rng(1)
    words = generator.normal(size=(WORDS, DIM)).astype(np.float32)
    image, text = generator.normal(size=(2, DIM))
    embeddings = unit_rows(unit_rows(words)[shown].sum(axis=1) + 0.6 * image)
    texts = unit_rows(unit_rows(words) + 0.4 * text)
    vocabulary = Vocabulary(tuple(f"thing {number}" for number in range(WORDS)), texts, BackboneReference.foreign("planted", "none"), "p")
    return Material(embeddings, np.full(ROWS, -1), ("plum", "ball"), vocabulary)


def made(method: str, material: Material, settings: SpliceSettings | ZCbmSettings) -> SparseWords:
    found = METHODS[method].fit(material, settings, Run()).bottleneck
    assert isinstance(found, SparseWords)
    return found


def published(material: Material, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and reconstructions as the paper's own code computes them."""

    def norm(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    images, texts = (np.asarray(rows, np.float64) for rows in (material.embeddings, material.required_words().embeddings))
    mean = norm(images).mean(axis=0)
    dictionary = norm(norm(texts) - norm(texts).mean(axis=0))
    model = Lasso(alpha=penalty / (2 * DIM), positive=True, fit_intercept=False, tol=1e-12, max_iter=100_000)
    weights = np.array([model.fit(dictionary.T, target).coef_ for target in norm(norm(images) - mean)])
    return weights, norm(norm(weights @ dictionary) + mean)


def test_splice_is_the_published_decomposition_and_reconstruction(material: Material) -> None:
    weights, reconstructions = published(material, PENALTY)
    splice = made("splice", material, SpliceSettings(penalty=PENALTY))
    codes = splice.encode(material.embeddings)
    np.testing.assert_allclose(codes.to_dense(), weights, atol=1e-5)
    np.testing.assert_allclose(splice.decode(codes), reconstructions, atol=1e-5)


def test_splice_finds_the_words_that_an_image_shows(material: Material, shown: np.ndarray) -> None:
    splice = made("splice", material, SpliceSettings(penalty=PENALTY))
    weights = splice.encode(material.embeddings).to_dense()
    first = np.argsort(-weights, axis=1)[:, :SHOWN]
    found = np.mean([len(np.intersect1d(*pair)) / SHOWN for pair in zip(first, shown, strict=True)])
    assert found > 0.9
    assert (weights > 0).sum(axis=1).mean() < 4 * SHOWN
    assert splice.names[first[0, 0]] == f"thing {first[0, 0]}"


def test_figures_say_how_many_words_and_how_close(material: Material) -> None:
    figures = METHODS["splice"].fit(material, SpliceSettings(penalty=PENALTY), Run()).figures
    weights, reconstructions = published(material, PENALTY)
    assert figures["words_per_image"] == pytest.approx((weights > 1e-9).sum(axis=1).mean(), rel=1e-3)
    assert figures["cosine"] == pytest.approx((reconstructions * material.embeddings).sum(axis=1).mean(), abs=1e-5)
    splice = made("splice", material, SpliceSettings(penalty=PENALTY))
    sums = unit_rows(weights @ splice.directions)
    assert figures["centred_cosine"] == pytest.approx((sums * splice.centred(material.embeddings)).sum(axis=1).mean(), abs=1e-5)
    assert figures["optimality_gap"] <= 1e-8
    sparser = METHODS["splice"].fit(material, SpliceSettings(penalty=2 * PENALTY), Run()).figures
    assert sparser["words_per_image"] < figures["words_per_image"]
    assert sparser["cosine"] < figures["cosine"]


def test_embeddings_of_any_length_have_the_same_words_and_are_rebuilt_at_their_length(material: Material) -> None:
    longer = dataclasses.replace(material, embeddings=7 * material.embeddings)
    unit, long = (made("splice", some, SpliceSettings(penalty=PENALTY)) for some in (material, longer))
    codes = long.encode(longer.embeddings)
    np.testing.assert_allclose(codes.to_dense(), unit.encode(material.embeddings).to_dense(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(long.decode(codes), axis=1), 7, rtol=1e-4)


def test_an_image_without_words_is_rebuilt_as_the_mean(material: Material) -> None:
    splice = made("splice", material, SpliceSettings(penalty=1.99))
    codes = splice.encode(material.embeddings[:3])
    assert not codes.values.any()
    np.testing.assert_allclose(splice.decode(codes), np.tile(unit_rows(splice.mean[None]), (3, 1)), atol=1e-5)


def test_the_response_of_a_patch_is_its_correlation_with_the_word(material: Material) -> None:
    splice = made("splice", material, SpliceSettings())
    patches = material.embeddings[:5] + 0.1
    expected = [[unit_rows(unit_rows(patch) - splice.mean) @ splice.directions[word] for word in (8, 2)] for patch in patches]
    np.testing.assert_allclose(splice.preactivations(patches, np.array([8, 2])), expected, atol=1e-6)


def test_z_cbm_uses_only_the_words_nearest_to_the_image(material: Material) -> None:
    nearest = 12
    z_cbm = made("z-cbm", material, ZCbmSettings(penalty=PENALTY, nearest=nearest))
    weights = z_cbm.encode(material.embeddings).to_dense()
    targets = unit_rows(unit_rows(material.embeddings) - z_cbm.mean).astype(np.float64)
    atoms = z_cbm.directions.astype(np.float64)
    model = Lasso(alpha=PENALTY / (2 * DIM), positive=True, fit_intercept=False, tol=1e-12, max_iter=100_000)
    for target, row in zip(targets[:40], weights, strict=False):
        some = np.argsort(-(atoms @ target))[:nearest]
        np.testing.assert_allclose(row[some], model.fit(atoms[some].T, target).coef_, atol=1e-5)
        assert not np.delete(row, some).any()


def test_z_cbm_over_a_bank_smaller_than_its_search_is_splice(material: Material) -> None:
    splice = made("splice", material, SpliceSettings(penalty=PENALTY))
    z_cbm = made("z-cbm", material, ZCbmSettings(penalty=PENALTY))
    np.testing.assert_array_equal(z_cbm.encode(material.embeddings).to_dense(), splice.encode(material.embeddings).to_dense())
