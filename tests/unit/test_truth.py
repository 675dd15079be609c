import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cbm.core.codes import Codes
from cbm.metrics.truth import TruthMatch, area_under_roc, match_known_concepts, names_right, peak_inside


@given(seed=st.integers(0, 10_000), signed=st.booleans())
def test_sparse_auc_equals_the_dense_one(seed: int, signed: bool) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.integers(-2 if signed else 0, 4, size=(23, 5)) * (rng.random((23, 5)) < 0.5)
    truth = rng.random((23, 3)) < 0.5
    truth[0], truth[1] = True, False
    auc = area_under_roc(Codes.from_csr(scipy.sparse.csr_matrix(dense.astype(np.float32))), truth)
    expected = [[roc_auc_score(truth[:, c], dense[:, j]) for c in range(3)] for j in range(5)]
    np.testing.assert_allclose(auc, expected, atol=1e-12)


def test_concepts_that_never_vary_are_left_out() -> None:
    codes = Codes.from_csr(scipy.sparse.csr_matrix(np.array([[0, 1.0], [2.0, 0], [0, 3.0]], np.float32)))
    truth = np.array([[True, True], [False, True], [True, True]])
    match = match_known_concepts(codes, truth, ["striped", "always"])
    assert match.concepts == ("striped",)
    assert match.latents.tolist() == [1]
    assert match.auc.tolist() == [1.0]


def test_names_count_only_for_discovered_concepts() -> None:
    match = TruthMatch(("red", "blue", "big"), np.array([0, 1, 2]), np.array([0.95, 0.99, 0.6]))
    assert match.concepts_discovered == pytest.approx(2 / 3)
    assert names_right(match, ["Red", "cyan", "big"], [["red"], ["blue"], ["big"]]) == 0.5


def test_the_peak_is_looked_up_at_the_centre_of_its_cell() -> None:
    heat = np.zeros((2, 2, 2))
    heat[0, 0, 1] = heat[1, 1, 0] = 1
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 2, 6] = True
    masks[1, 2, 6] = True
    assert peak_inside(heat, masks).tolist() == [True, False]
