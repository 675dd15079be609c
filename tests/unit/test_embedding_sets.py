"""Embedding sets: what is written is what is read, and damage is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CorruptArtifactError, InvalidInputError
from cbm.embeddings.sets import EmbeddingSet, number_names, to_space, write_set
from cbm.embeddings.vectors import read_vectors, write_vectors
from cbm.workspace.workspace import Artifact, Workspace

REFERENCE = BackboneReference("ViT-B-32", "openai", "a" * 32)
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)


def _items() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "item": [f"a/{row}.png" for row in range(6)],
            "uri": [f"/x/a/{row}.png" for row in range(6)],
            "label": [0, 1, -1, 0, 1, 1],
            "group": [-1] * 6,
            "split": ["train"] * 4 + ["test"] * 2,
            "sha256": ["0" * 64] * 6,
            "concept:red": [True, False, True, True, False, False],
            "concept:blue, dark": [False, False, True, False, True, True],
        }
    )


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Workspace(tmp_path).create(
        "embeddings",
        {"seed": 0},
        (),
        lambda draft: write_set(draft, VECTORS, _items(), classes=["cat", "dög"], groups=[], backbone=REFERENCE, space="raw", name="six"),
    )


def test_a_set_comes_back_as_it_was_written(artifact: Artifact) -> None:
    loaded = EmbeddingSet.load(artifact)
    np.testing.assert_array_equal(loaded.embeddings, VECTORS)
    pd.testing.assert_frame_equal(loaded.items, _items(), check_dtype=False)
    assert (loaded.id, loaded.classes, loaded.groups, loaded.backbone, loaded.space, loaded.name) == (
        artifact.id,
        ("cat", "dög"),
        (),
        REFERENCE,
        "raw",
        "six",
    )
    assert loaded.concept_names == ("red", "blue, dark")
    np.testing.assert_array_equal(loaded.truth, _items()[["concept:red", "concept:blue, dark"]].to_numpy())
    assert loaded.labelled.tolist() == [True, True, False, True, True, True]
    assert loaded.split("test").sum() == 2
    assert artifact.metrics == {"count": 6, "dim": 4, "classes": 2}


def test_embeddings_are_a_read_only_map_that_other_readers_understand(artifact: Artifact) -> None:
    loaded = EmbeddingSet.load(artifact)
    assert isinstance(loaded.embeddings, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.embeddings[0, 0] = 1
    np.testing.assert_array_equal(load_file(artifact.path / "embeddings.safetensors")["embeddings"], VECTORS)


def test_an_item_is_found_by_name_uri_row_or_unique_part(artifact: Artifact) -> None:
    loaded = EmbeddingSet.load(artifact)
    assert [loaded.find(item) for item in ("a/3.png", "/x/a/3.png", "3", "3.p")] == [3, 3, 3, 3]
    with pytest.raises(InvalidInputError, match="fits 6 items"):
        loaded.find("a/")
    with pytest.raises(InvalidInputError, match="fits 0 items"):
        loaded.find("nowhere")
    with pytest.raises(InvalidInputError, match="fits 0 items"):
        loaded.find("")


@pytest.mark.parametrize("damage", ["cut", "gone", "header", "rows", "set"])
def test_damaged_sets_are_reported_as_such(artifact: Artifact, damage: str) -> None:
    path = artifact.path / "embeddings.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-4])
    elif damage == "gone":
        path.unlink()
    elif damage == "header":
        path.write_bytes(b"\xff" * 100)
    elif damage == "rows":
        save_file({"embeddings": VECTORS[:5]}, path)
    else:
        record = json.loads((artifact.path / "set.json").read_text())
        del record["classes"]
        (artifact.path / "set.json").write_text(json.dumps(record))
    with pytest.raises(CorruptArtifactError, match="make"):
        EmbeddingSet.load(artifact)


def test_other_kinds_and_types_are_refused(tmp_path: Path) -> None:
    other = Workspace(tmp_path).create("vocabulary", {}, (), lambda draft: None)
    with pytest.raises(InvalidInputError, match="holds vocabulary"):
        EmbeddingSet.load(other)
    save_file({"embeddings": VECTORS.astype(np.float16)}, tmp_path / "half.safetensors")
    with pytest.raises(CorruptArtifactError, match="float32"):
        read_vectors(tmp_path / "half.safetensors")


def test_chunks_must_add_up(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.safetensors", (VECTORS[i : i + 4] for i in (0, 4)), 6, 4)
    np.testing.assert_array_equal(read_vectors(tmp_path / "v.safetensors"), VECTORS)
    with pytest.raises(ValueError, match="5 vectors"):
        write_vectors(tmp_path / "v.safetensors", [VECTORS[:5]], 6, 4)
    with pytest.raises(ValueError, match="width 3"):
        write_vectors(tmp_path / "v.safetensors", [VECTORS], 6, 3)


def test_names_are_numbered_sorted_or_in_the_given_order() -> None:
    numbers, names = number_names(["b", None, "a", "b"])
    assert (numbers.tolist(), names) == ([1, -1, 0, 1], ("a", "b"))
    numbers, names = number_names(["b", None, "a"], ["b", "a", "c"])
    assert (numbers.tolist(), names) == ([0, -1, 1], ("b", "a", "c"))
    with pytest.raises(InvalidInputError, match="b not among"):
        number_names(["b"], ["a"])


def test_unit_length_survives_zero_vectors() -> None:
    vectors = np.vstack([VECTORS, np.zeros((1, 4), np.float32)])
    unit = to_space(vectors, "l2")
    np.testing.assert_allclose(np.linalg.norm(unit[:-1], axis=1), 1, atol=1e-6)
    assert unit.dtype == np.float32
    assert not unit[-1].any()
