"""Splitting and absorption: planted cases, each found and no other, and F1 against scikit-learn."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.metrics import f1_score

from cbm.core.codes import Codes
from cbm.metrics.absorption import _best_f1, absorption, splitting

CLASS, NARROW, OTHER = 0, 1, 2
DIRECTIONS = np.array([[1, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 0, 1, 0]], np.float32)


def sparse_codes(dense):
    return Codes.from_csr(scipy.sparse.csr_matrix(np.asarray(dense, np.float32)))


def world(absorbed):
    """Ten images of a class, `absorbed` of them on a narrower latent alone, and ten of another."""
    dense = np.zeros((20, 3))
    dense[:10, CLASS] = 1
    dense[10:, OTHER] = 1
    dense[:absorbed, CLASS] = 0
    dense[:absorbed, NARROW] = 1
    members = np.arange(20) < 10
    return sparse_codes(dense), (dense @ DIRECTIONS).astype(np.float32), members


@pytest.mark.parametrize("absorbed", [0, 4])
def test_images_that_a_narrower_latent_has_are_absorbed(absorbed):
    codes, centred, members = world(absorbed)
    found = absorption(codes, centred, DIRECTIONS, np.array([2.0, 0, 0, 0], np.float32), members, np.array([CLASS]))
    assert (found.images, found.absorbed) == (10, absorbed)
    assert found.rate == absorbed / 10
    assert found.partial == pytest.approx(absorbed / 10)


def test_an_image_that_shares_its_projection_is_absorbed_in_part_only():
    codes = sparse_codes([[1.0, 0.5, 0]])
    found = absorption(
        codes, codes.to_dense() @ DIRECTIONS, DIRECTIONS, np.array([1.0, 0, 0, 0], np.float32), np.array([True]), np.array([CLASS])
    )
    assert found.absorbed == 0
    assert found.partial == pytest.approx(0.3 / 1.3)


def test_latents_that_have_little_of_the_projection_or_point_elsewhere_absorb_nothing():
    codes = sparse_codes([[0, 0.2, 0], [0, 0, 1.0]])
    centred = np.array([[1.0, 0, 0, 0], [1.0, 0, 1, 0]], np.float32)
    found = absorption(codes, centred, DIRECTIONS, np.array([1.0, 0, 0, 0], np.float32), np.ones(2, bool), np.array([CLASS]))
    assert found.absorbed == 0


def test_a_direction_that_recognises_no_image_has_no_rate():
    codes, centred, members = world(0)
    assert np.isnan(absorption(codes, centred, DIRECTIONS, np.array([-1.0, 0, 0, 0], np.float32), members, np.array([CLASS])).rate)


def test_a_class_of_one_latent_is_whole_and_one_of_two_is_split():
    generator = np.random.default_rng(0)
    members = np.arange(200) < 80
    dense = generator.exponential(size=(200, 6)) * (generator.random((200, 6)) < 0.05)
    dense[:80, 3] += 2
    whole = splitting(sparse_codes(dense), members)
    assert whole.latents.tolist() == [3]
    assert not whole.split
    dense[:40, 3] = 0
    dense[:40, 5] += 2
    halves = splitting(sparse_codes(dense), members)
    assert sorted(halves.latents.tolist()) == [3, 5]
    assert halves.split
    assert halves.f1[1] > halves.f1[0] + 0.03


def test_a_silent_class_has_no_latent_and_a_full_one_is_refused():
    found = splitting(sparse_codes(np.zeros((4, 3))), np.array([True, False, False, False]))
    assert len(found.latents) == 0
    with pytest.raises(ValueError, match="cannot be probed"):
        splitting(sparse_codes(np.ones((3, 2))), np.ones(3, bool))


def test_the_best_f1_is_that_of_the_best_threshold():
    generator = np.random.default_rng(1)
    scores, members = generator.integers(0, 6, 40).astype(np.float64), generator.random(40) < 0.3
    expected = max(f1_score(members, scores >= threshold) for threshold in np.unique(scores))
    assert _best_f1(scores, members) == pytest.approx(expected)
