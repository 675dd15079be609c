import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from cbm.core.codes import Codes


@given(seed=st.integers(0, 10_000), rows=st.integers(0, 7), size=st.integers(1, 9))
def test_sparse_round_trip_keeps_every_activation(seed: int, rows: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    dense = (rng.normal(size=(rows, size)) * (rng.random((rows, size)) < 0.4)).astype(np.float32)
    codes = Codes.from_csr(scipy.sparse.csr_matrix(dense))
    np.testing.assert_array_equal(codes.to_dense(), dense)
    assert codes.size == size


def test_padding_does_not_overwrite_concept_zero() -> None:
    codes = Codes(np.array([[0, 3], [2, 0]], np.int32), np.array([[1.5, -2.0], [4.0, 0.0]], np.float32), size=4)
    np.testing.assert_array_equal(codes.to_dense(), [[1.5, 0, 0, -2.0], [0, 0, 4.0, 0]])


def test_concatenate_pads_to_the_widest() -> None:
    narrow = Codes(np.array([[1]], np.int32), np.array([[2.0]], np.float32), size=3)
    wide = Codes(np.array([[0, 2]], np.int32), np.array([[5.0, 6.0]], np.float32), size=3)
    np.testing.assert_array_equal(Codes.concatenate([narrow, wide]).to_dense(), [[0, 2, 0], [5, 0, 6]])


def test_rows_can_be_chosen() -> None:
    codes = Codes(np.array([[1], [2]], np.int32), np.array([[2.0], [3.0]], np.float32), size=3)
    np.testing.assert_array_equal(codes[np.array([1])].to_dense(), [[0, 0, 3]])


@pytest.mark.wrong_types
def test_wrong_types_are_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        Codes(np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32), size=3)
    with pytest.raises(ValueError, match="one shape"):
        Codes(np.zeros((1, 2), np.int32), np.zeros((1, 1), np.float32), size=3)
