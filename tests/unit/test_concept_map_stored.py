"""What the concepts page keeps in a workspace, and what it keeps out of one that must not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbm.study.concept_map import ConceptMap, stored_map

DIRECTIONS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


def test_a_map_is_made_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = stored_map(tmp_path, DIRECTIONS, keep=True)
    assert first is not None
    assert len(list(tmp_path.iterdir())) == 1

    def fail(*_: object) -> ConceptMap:
        raise AssertionError("the map was made again")

    monkeypatch.setattr("cbm.study.concept_map.map_concepts", fail)
    second = stored_map(tmp_path, DIRECTIONS, keep=True)
    assert second is not None
    assert np.array_equal(first.positions, second.positions)


def test_a_read_only_demo_keeps_nothing(tmp_path: Path) -> None:
    assert stored_map(tmp_path / "maps", DIRECTIONS, keep=False) is not None
    assert not (tmp_path / "maps").exists()


def test_a_damaged_map_is_made_again(tmp_path: Path) -> None:
    first = stored_map(tmp_path, DIRECTIONS, keep=True)
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"damaged")
    second = stored_map(tmp_path, DIRECTIONS, keep=True)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.positions, second.positions)


def test_a_disk_that_takes_nothing_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert stored_map(tmp_path / "file" / "maps", DIRECTIONS, keep=True) is not None


@pytest.mark.parametrize("directions", [None, DIRECTIONS[:1]])
def test_a_model_without_directions_has_no_map(tmp_path: Path, directions: np.ndarray | None) -> None:
    assert stored_map(tmp_path, directions, keep=True) is None
