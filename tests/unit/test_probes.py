"""One-latent probes against scikit-learn, and purity by counting."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from cbm.core.codes import Codes
from cbm.metrics import probes
from cbm.metrics.probes import average_precision, halves, one_latent_probes, purity


def sparse_codes(dense):
    return Codes.from_csr(scipy.sparse.csr_matrix(np.asarray(dense, np.float32)))


def planted(seed, rows=300):
    """Latent 2 tells class 0, silence of latent 5 tells class 1, and nothing tells classes 2 and 3."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, rows)
    dense = generator.exponential(size=(rows, 8)) * (generator.random((rows, 8)) < 0.3)
    dense[:, 2] = np.where(labels == 0, 1 + generator.random(rows), np.minimum(0.2 * dense[:, 2], 0.5))
    dense[:, 5] = np.where(labels == 1, 0, 1 + generator.random(rows))
    return dense.astype(np.float32), labels


def test_average_precision_is_that_of_scikit_learn_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(20):
        scores, hits = generator.integers(-2, 3, 30).astype(np.float64), generator.random(30) < 0.3
        hits[0] = True
        assert average_precision(scores, hits) == pytest.approx(average_precision_score(hits, scores))


def test_the_latent_of_each_class_is_found_also_where_it_is_silence(monkeypatch):
    monkeypatch.setattr(probes, "_BLOCK_VALUES", 700)
    (fit, fit_labels), (dense, labels) = planted(0), planted(1)
    found = one_latent_probes(sparse_codes(fit), fit_labels, sparse_codes(dense), labels, 4)
    np.testing.assert_array_equal(found.classes, [0, 1, 2, 3])
    np.testing.assert_array_equal(found.latents[:2], [2, 5])
    np.testing.assert_allclose(found.average_precision[:2], 1)
    assert found.coverage(0.9) == 0.5
    assert 0.4 < found.probe_r < 0.6


def test_the_figures_are_those_of_scikit_learns_probe():
    (fit, fit_labels), (dense, labels) = planted(2), planted(3)
    found = one_latent_probes(sparse_codes(fit), fit_labels, sparse_codes(dense), labels, 4, candidates=8)
    for place, label in enumerate(found.classes):
        hits, losses = fit_labels == label, []
        for latent in range(8):
            scale = fit[:, latent].std()
            probe = LogisticRegression(C=1 / (probes._RIDGE * len(fit)), tol=1e-8).fit(fit[:, [latent]] / scale, hits)
            shares = probe.predict_proba(fit[:, [latent]] / scale)[:, 1]
            penalty = probes._RIDGE / 2 * probe.coef_[0, 0] ** 2
            losses.append(-np.mean(np.where(hits, np.log(shares), np.log1p(-shares))) + penalty)
            if latent == found.latents[place]:
                there = probe.predict_proba(dense[:, [latent]] / scale)[:, 1]
        assert found.latents[place] == np.argmin(losses)
        measured = labels == label
        assert found.cross_entropy[place] == pytest.approx(-np.mean(np.where(measured, np.log(there), np.log1p(-there))), abs=1e-4)
        assert found.average_precision[place] == pytest.approx(average_precision_score(measured, there), abs=1e-6)
        base = np.where(measured, np.log(hits.mean()), np.log1p(-hits.mean()))
        assert found.base_cross_entropy[place] == pytest.approx(-base.mean())


def test_classes_that_one_side_lacks_are_not_tested():
    dense = np.eye(4, dtype=np.float32)
    found = one_latent_probes(sparse_codes(dense), np.array([0, 0, 1, 2]), sparse_codes(dense), np.array([0, 0, 3, 1]), 4)
    np.testing.assert_array_equal(found.classes, [0, 1])
    with pytest.raises(ValueError, match="no class"):
        one_latent_probes(sparse_codes(dense), np.array([0, 0, 1, 1]), sparse_codes(dense), np.array([2, 2, 3, 3]), 4)


def test_dead_latents_are_no_probe():
    found = one_latent_probes(sparse_codes(np.zeros((6, 3))), np.arange(6) % 2, sparse_codes(np.zeros((6, 3))), np.arange(6) % 2, 2)
    assert found.probe_r == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(found.average_precision, 0.5)


def test_purity_counts_the_labels_of_the_strongest_images():
    generator = np.random.default_rng(4)
    dense = generator.random((80, 6)) * (generator.random((80, 6)) < 0.5)
    dense[3:, 1] = 0
    labels = generator.integers(0, 3, 80)
    expected = []
    for column in dense.T:
        top = np.argsort(-column)[:16]
        expected.append(np.bincount(labels[top]).max() / 16 if (column > 0).sum() >= 16 else np.nan)
    np.testing.assert_allclose(purity(sparse_codes(dense), labels), expected)
    assert np.flatnonzero(np.isnan(expected)).tolist() == [1]


def test_halves_share_each_class_evenly():
    labels = np.random.default_rng(5).integers(0, 5, 101)
    chosen = halves(labels)
    for label in range(5):
        counts = chosen[labels == label].sum(), (~chosen[labels == label]).sum()
        assert counts[0] - counts[1] in (0, 1)
