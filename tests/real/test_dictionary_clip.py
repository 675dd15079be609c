"""Discovery on real CLIP embeddings: the figures that the documentation states, on rows that training never saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbm.dictionaries.calibration import recalibrated
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.metrics.reconstruction import measure_reconstruction

K = 32


@pytest.fixture(scope="module")
def held_out(clip_data: Path) -> np.ndarray:
    with np.load(clip_data / "vitb32" / "caltech101" / "test.npz", allow_pickle=False) as arrays:
        return arrays["embeddings"].astype(np.float32)


def test_at_most_one_percent_of_latents_are_dead(dictionary: JumpReluDictionary, training_vectors: np.ndarray) -> None:
    assert measure_reconstruction(dictionary, training_vectors).dead <= 0.01


def test_unseen_images_are_reconstructed_at_exactly_the_sparsity_asked_for(dictionary: JumpReluDictionary, held_out: np.ndarray) -> None:
    """The threshold is set on one half of the unseen pictures and everything is measured on the other."""
    metrics = measure_reconstruction(recalibrated(dictionary, held_out[::2], K), held_out[1::2])
    assert metrics.l0_mean == pytest.approx(K, rel=0.02)
    assert metrics.fvu <= 0.22
    assert metrics.cosine_centred > 0.85


def test_the_threshold_as_trained_serves_unseen_images(dictionary: JumpReluDictionary, held_out: np.ndarray) -> None:
    """Calibrated on mixed pictures kept out of training; those of one data set alone may use somewhat more or fewer latents."""
    metrics = measure_reconstruction(dictionary, held_out)
    assert metrics.fvu <= 0.22
    assert metrics.l0_mean == pytest.approx(K, rel=0.15)
