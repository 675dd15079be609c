"""Real CLIP vectors and pictures, which lie beside the checkout and are not part of it."""

from pathlib import Path

import pytest

CLIP_DATA = Path(__file__).resolve().parents[3] / "shared" / "clip-data"


@pytest.fixture(scope="session")
def clip_data() -> Path:
    if not CLIP_DATA.is_dir():
        pytest.skip(f"no real CLIP data at {CLIP_DATA}: it does not ship with the project")
    return CLIP_DATA
