"""The layout of concept directions: near stays near, the same is the same again, and damaged files are noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cbm.core.arrays import unit_rows
from cbm.core.errors import CorruptArtifactError, InvalidInputError
from cbm.study.concept_map import ConceptMap, map_concepts, name_regions, nearest_directions

CLUSTERS, EACH, DIM = 6, 40, 32


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    generator = np.random.default_rng(1)
    centres = generator.normal(size=(CLUSTERS, DIM))
    return (np.repeat(centres, EACH, axis=0) + 0.35 * generator.normal(size=(CLUSTERS * EACH, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def layout(directions: np.ndarray) -> ConceptMap:
    return map_concepts(directions)


def test_the_same_directions_have_the_same_map(directions: np.ndarray, layout: ConceptMap) -> None:
    again = map_concepts(directions.copy())
    assert np.array_equal(again.positions, layout.positions)
    assert np.array_equal(again.neighbours, layout.neighbours)


def test_another_seed_has_another_map(directions: np.ndarray, layout: ConceptMap) -> None:
    assert not np.array_equal(map_concepts(directions, seed=1).positions, layout.positions)


def test_only_the_angle_counts(directions: np.ndarray, layout: ConceptMap) -> None:
    lengths = np.random.default_rng(2).uniform(0.1, 9, len(directions))[:, None]
    assert np.array_equal(map_concepts(directions * lengths).neighbours, layout.neighbours)


def test_nearest_directions_are_those_of_brute_force(directions: np.ndarray, layout: ConceptMap) -> None:
    unit = unit_rows(directions)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    assert np.allclose(-np.sort(-cosines, axis=1)[:, : layout.similarities.shape[1]], layout.similarities, atol=1e-5)
    assert (layout.neighbours != np.arange(len(unit))[:, None]).all()


def test_concepts_of_one_kind_stand_together(layout: ConceptMap) -> None:
    kind = np.repeat(np.arange(CLUSTERS), EACH)
    gaps = np.linalg.norm(layout.positions[:, None] - layout.positions[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = np.argsort(gaps, axis=1)[:, :5]
    assert (kind[nearest] == kind[:, None]).mean() > 0.95


def test_positions_fill_the_square_and_stay_in_it(layout: ConceptMap) -> None:
    assert np.abs(layout.positions).max() <= 1
    assert np.abs(layout.positions).max() > 0.8


def test_twins_do_not_hide_each_other() -> None:
    unit = unit_rows(np.repeat(np.eye(4), 3, axis=0))
    neighbours, similarities = nearest_directions(unit, 2)
    for concept in range(12):
        assert concept not in neighbours[concept]
        assert set(neighbours[concept]) | {concept} == set(range(concept // 3 * 3, concept // 3 * 3 + 3))
    assert np.allclose(similarities, 1)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_a_handful_of_concepts_has_a_map(size: int) -> None:
    layout = map_concepts(np.random.default_rng(0).normal(size=(size, 5)))
    assert layout.positions.shape == (size, 2)
    assert np.isfinite(layout.positions).all()


def test_a_dead_direction_does_no_harm() -> None:
    directions = np.random.default_rng(0).normal(size=(30, 8))
    directions[4] = 0
    assert np.isfinite(map_concepts(directions).positions).all()


@pytest.mark.parametrize("directions", [np.zeros((1, 4)), np.zeros(4), np.full((4, 4), np.nan)])
@pytest.mark.wrong_types
def test_what_is_no_table_of_directions_is_refused(directions: np.ndarray) -> None:
    with pytest.raises(InvalidInputError):
        map_concepts(directions)


def test_a_stored_map_is_the_same(layout: ConceptMap, tmp_path: Path) -> None:
    layout.save(tmp_path / "map.safetensors")
    loaded = ConceptMap.load(tmp_path / "map.safetensors", len(layout.positions))
    assert np.array_equal(loaded.positions, layout.positions)
    assert [file.name for file in tmp_path.iterdir()] == ["map.safetensors"]


def test_a_damaged_or_foreign_map_is_refused(layout: ConceptMap, tmp_path: Path) -> None:
    file = tmp_path / "map.safetensors"
    with pytest.raises(CorruptArtifactError):
        ConceptMap.load(file, 3)
    layout.save(file)
    with pytest.raises(CorruptArtifactError, match="not 3"):
        ConceptMap.load(file, 3)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CorruptArtifactError):
        ConceptMap.load(file, len(layout.positions))


def test_regions_are_called_after_their_most_important_names() -> None:
    generator = np.random.default_rng(0)
    positions = np.concatenate([generator.normal(corner, 0.05, (30, 2)) for corner in ((-0.8, -0.8), (0.8, 0.8), (-0.8, 0.8))])
    names = [f"{kind} {number}" for kind in ("dog", "car", "fruit") for number in range(30)]
    importance = np.tile(np.linspace(1, 0.1, 30), 3)
    regions = name_regions(positions.astype(np.float32), names, importance, levels=(3,))
    assert {region.name for region in regions} == {f"{kind} 0 · {kind} 1" for kind in ("dog", "car", "fruit")}
    for region in regions:
        assert region.size == 30


def test_unimportant_and_blank_names_name_no_region() -> None:
    positions = np.zeros((30, 2), np.float32)
    assert name_regions(positions, ["x"] * 30, np.zeros(30), levels=(1,)) == ()
    assert name_regions(positions, [" "] * 30, np.ones(30), levels=(1,)) == ()
