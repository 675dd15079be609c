"""Alignment of neighbourhoods against sums over tuples of images."""

import itertools

import numpy as np
import pytest
import scipy.sparse

from cbm.core.codes import Codes
from cbm.metrics.neighbourhoods import neighbourhood_alignment, unbiased_hsic


def sparse_codes(dense):
    return Codes.from_csr(scipy.sparse.csr_matrix(np.asarray(dense, np.float32)))


def hsic_over_tuples(first, second):
    """The estimate as what it is: a mean over all choices of different images (Song et al. 2012, equation 3)."""
    m = len(first)
    two = np.mean([first[i, j] * second[i, j] for i, j in itertools.permutations(range(m), 2)])
    four = np.mean([first[i, j] * second[q, r] for i, j, q, r in itertools.permutations(range(m), 4)])
    three = np.mean([first[i, j] * second[i, q] for i, j, q in itertools.permutations(range(m), 3)])
    return two + four - 2 * three


def test_hsic_is_the_mean_over_tuples_of_different_images():
    generator = np.random.default_rng(0)
    first, second = (matrix + matrix.T for matrix in generator.standard_normal((2, 7, 7)))
    assert unbiased_hsic(first, second) == pytest.approx(hsic_over_tuples(first, second))


def test_codes_that_are_the_embeddings_align_fully():
    embeddings = np.random.default_rng(1).exponential(size=(40, 6)).astype(np.float32)
    assert neighbourhood_alignment(embeddings, sparse_codes(3 * embeddings)) == pytest.approx(1, abs=1e-5)


def test_noise_lowers_alignment_until_nothing_is_left():
    generator = np.random.default_rng(2)
    embeddings = generator.standard_normal((150, 8)).astype(np.float32)
    found = [
        neighbourhood_alignment(embeddings, sparse_codes(embeddings + noise * generator.standard_normal((150, 8))))
        for noise in (0.1, 0.5, 100)
    ]
    assert found[0] > found[1] > found[2]
    assert found[0] > 0.6
    assert found[2] < 0.15


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="too few"):
        neighbourhood_alignment(np.ones((10, 2), np.float32), sparse_codes(np.ones((10, 2))))
