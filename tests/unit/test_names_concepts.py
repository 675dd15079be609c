"""The concept table, and finding the latent of a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cbm.core.codes import Codes
from cbm.core.errors import CorruptArtifactError, InvalidInputError
from cbm.metrics.naming import best_latents
from cbm.names.assignment import assign_unique, with_threshold
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.names.rules import Naming
from cbm.names.truth import truth_pairs

WORDS = ("dog", "cat", "fire truck", "snow")


@pytest.fixture
def codes() -> Codes:
    generator = np.random.default_rng(5)
    indices = np.stack([generator.choice(5, 2, replace=False) for _ in range(40)]).astype(np.int32)
    return Codes(indices, generator.uniform(0.1, 3, size=(40, 2)).astype(np.float32), 6)


@pytest.fixture
def table(codes: Codes) -> ConceptTable:
    candidates = np.array([[0, 1], [2, 0], [0, 3], [1, 2], [3, 1], [2, 3]], np.int32)
    scores = np.array([[0.9, 0.5], [0.8, 0.1], [0.7, 0.2], [0.6, 0.5], [0.1, 0.0], [0.4, 0.3]], np.float32)
    naming = with_threshold(Naming(candidates, scores, "centred"), 0.3)
    return ConceptTable.from_naming(naming, WORDS, ActivationStatistics.of(codes), {"vocabulary": "words.txt"})


def test_statistics_are_those_of_the_dense_activations(codes: Codes) -> None:
    dense, statistics = codes.to_dense(), ActivationStatistics.of(codes)
    np.testing.assert_allclose(statistics.density, (dense > 0).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics.mean_activation[:5], [dense[dense[:, j] > 0, j].mean() for j in range(5)], rtol=1e-5)
    np.testing.assert_allclose(statistics.max_activation, dense.max(axis=0))
    assert statistics.density[5] == statistics.mean_activation[5] == statistics.max_activation[5] == 0


def test_latents_below_the_threshold_are_shown_as_unnamed(table: ConceptTable) -> None:
    assert table.names == ["dog", "fire truck", "dog", "cat", "unnamed 4", "fire truck"]
    assert table.labels == ["dog #0", "fire truck #1", "dog #2", "cat", "unnamed 4", "fire truck #5"]
    assert table.details["threshold"] == 0.3
    assert table.candidates(4) == [("snow", pytest.approx(0.1)), ("cat", pytest.approx(0.0))]


def test_unique_names_come_from_the_candidates_with_their_own_score(codes: Codes) -> None:
    naming = Naming(np.array([[0, 1]] * 6, np.int32), np.tile(np.array([[0.9, 0.5]], np.float32), (6, 1)), "cosine")
    table = ConceptTable.from_naming(assign_unique(naming), WORDS, ActivationStatistics.of(codes))
    assert sorted(table.names)[:2] == ["cat", "dog"]
    assert table.frame["score"][table.names.index("cat")] == pytest.approx(0.5)
    assert table.named.sum() == 2


def test_saving_and_loading_keeps_everything(table: ConceptTable, tmp_path: Path) -> None:
    decided = table.with_decisions({0: "puppy", 4: "white"}, {3}, {1: (1, 5)})
    decided.save(tmp_path)
    loaded = ConceptTable.load(tmp_path)
    assert loaded.names == decided.names
    assert (loaded.hidden, loaded.merged, loaded.details) == (frozenset({3}), {1: (1, 5)}, decided.details)
    assert [loaded.candidates(i) for i in range(6)] == [decided.candidates(i) for i in range(6)]
    np.testing.assert_array_equal(loaded.frame["density"], table.frame["density"])


def test_an_unnamed_table_can_be_saved_and_loaded(codes: Codes, tmp_path: Path) -> None:
    table = ConceptTable.unnamed(ActivationStatistics.of(codes))
    table.save(tmp_path)
    assert ConceptTable.load(tmp_path).names == [f"unnamed {i}" for i in range(6)]
    assert ConceptTable.load(tmp_path).candidates(2) == []


def test_renaming_returns_a_new_table_and_names_what_was_unnamed(table: ConceptTable) -> None:
    renamed = table.with_names({4: " snow cover "})
    assert renamed.names[4] == "snow cover"
    assert table.names[4] == "unnamed 4"


@pytest.mark.parametrize("names", [{99: "dog"}, {-1: "dog"}, {0: "  "}])
def test_renames_that_make_no_sense_are_refused(table: ConceptTable, names: dict[int, str]) -> None:
    with pytest.raises(InvalidInputError):
        table.with_names(names)


def test_search_lists_names_before_candidates(table: ConceptTable) -> None:
    assert table.search("dog") == [0, 2, 1]
    assert table.search("snow") == [2, 4, 5]


def test_a_missing_or_damaged_table_says_so(table: ConceptTable, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="name the dictionary again"):
        ConceptTable.load(tmp_path)
    (tmp_path / "concepts.parquet").write_bytes(b"PAR1rubbish")
    with pytest.raises(CorruptArtifactError):
        ConceptTable.load(tmp_path)


def test_the_best_latent_of_a_class_has_the_largest_average_precision() -> None:
    generator = np.random.default_rng(11)
    labels = generator.integers(4, size=200)
    indices = np.stack([generator.choice(12, 3, replace=False) for _ in range(200)]).astype(np.int32)
    indices[:, 0] = np.where(generator.random(200) < 0.8, labels, indices[:, 0])
    values = np.round(generator.uniform(0.1, 2, size=indices.shape), 1).astype(np.float32)
    repeated = (np.diff(np.sort(indices, axis=1)) == 0).any(axis=1)
    codes = Codes(indices[~repeated], values[~repeated], 12)
    labels = labels[~repeated]
    found = best_latents(codes, labels, 5)
    dense = codes.to_dense()
    for label in range(4):
        precisions = [average_precision_score(labels == label, dense[:, latent]) for latent in range(12)]
        assert found.average_precision[label] == pytest.approx(max(precisions), abs=1e-9)
        assert precisions[found.latents[label]] == pytest.approx(max(precisions), abs=1e-9)
    assert found.latents[4] == -1


def test_truth_pairs_keep_clear_latents_of_classes_that_the_vocabulary_has() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    codes = Codes(np.array([[0], [0], [1], [1], [3], [4]], np.int32), np.ones((6, 1), np.float32), 5)
    found = best_latents(codes, labels, 3)
    assert truth_pairs(found, ["dog", "bird", "snow"], WORDS, above=0.8) == [(0, 0)]
    assert truth_pairs(found, ["dog", "cat", "snow"], WORDS, above=0.8) == [(0, 0), (1, 1)]
