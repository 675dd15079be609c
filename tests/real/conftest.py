"""Real CLIP vectors and pictures, which lie beside the checkout and are not part of it, and one dictionary that several tests look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.trainer import train

CLIP_DATA = Path(__file__).resolve().parents[3] / "shared" / "clip-data"
WIDTH, K = 4096, 32


@pytest.fixture(scope="session")
def clip_data() -> Path:
    if not CLIP_DATA.is_dir():
        pytest.skip(f"no real CLIP data at {CLIP_DATA}: it does not ship with the project")
    return CLIP_DATA


@pytest.fixture(scope="session")
def training_vectors(clip_data: Path) -> np.ndarray:
    """The training rows of all five sets [18,156, 512]; no test row is among them."""
    files = sorted([*clip_data.glob("vitb32/*/train.npz"), *clip_data.glob("vitb32/*/fewshot*.npz")])
    parts = []
    for file in files:
        with np.load(file, allow_pickle=False) as arrays:
            parts.append(arrays["embeddings"].astype(np.float32))
    return np.concatenate(parts)


@pytest.fixture(scope="session")
def dictionary(training_vectors: np.ndarray) -> JumpReluDictionary:
    """What discovery's defaults make of them; trained once, for it takes a minute."""
    return train(training_vectors, TrainingConfig(BatchTopK(WIDTH, K))).dictionary
