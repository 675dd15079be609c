"""Foreign vectors: every form that is read, and every mistake that is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.embeddings.imports import import_vectors
from cbm.embeddings.sets import EmbeddingSet
from cbm.workspace.workspace import Workspace

OPENAI = BackboneReference.foreign("ViT-B-32", "openai")
ROWS = 9


def _unit(rows: int = ROWS, dim: int = 512, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def npz(tmp_path: Path):
    def save(**arrays: Any) -> Path:
        np.savez(tmp_path / "vectors.npz", **arrays)
        return tmp_path / "vectors.npz"

    return save


FILES = np.array([f"cat/{number}.jpg" for number in range(ROWS)])


def test_half_precision_unit_vectors_become_exactly_unit(workspace: Workspace, npz) -> None:
    vectors = _unit().astype(np.float16)
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 1, -1], np.int32)
    artifact = import_vectors(workspace, npz(embeddings=vectors, labels=labels, files=FILES), OPENAI, classes=["a", "b", "c"], split="test")
    loaded = EmbeddingSet.load(artifact)
    np.testing.assert_allclose(np.linalg.norm(loaded.embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(loaded.embeddings, vectors.astype(np.float32), atol=1e-3)
    assert (loaded.space, loaded.dim, loaded.classes, loaded.backbone) == ("l2", 512, ("a", "b", "c"), OPENAI)
    np.testing.assert_array_equal(loaded.labels, labels)
    assert loaded.items["item"].tolist() == FILES.tolist()
    assert loaded.split("test").all()
    assert artifact.metrics["norms_found"][0] == pytest.approx(1, abs=1e-2)
    assert artifact.metrics["pictures"] == 0


def test_vectors_of_other_lengths_stay_raw_unless_told_otherwise(workspace: Workspace, npz) -> None:
    path = npz(embeddings=(_unit() * 9.5).astype(np.float32))
    raw = EmbeddingSet.load(import_vectors(workspace, path, OPENAI))
    assert raw.space == "raw"
    np.testing.assert_array_equal(raw.embeddings, (_unit() * 9.5).astype(np.float32))
    unit = EmbeddingSet.load(import_vectors(workspace, path, OPENAI, space="l2"))
    np.testing.assert_allclose(unit.embeddings, _unit(), atol=1e-6)
    assert import_vectors(workspace, npz(embeddings=_unit()), OPENAI).parameters["space"] == "l2"
    with pytest.raises(MismatchError, match="not centred"):
        import_vectors(workspace, npz(embeddings=_unit()), OPENAI, space="centred")


def test_the_same_import_twice_is_one_artefact_and_anything_else_another(workspace: Workspace, npz) -> None:
    def made(**changes: Any) -> str:
        arrays = {"embeddings": _unit(), "labels": np.arange(ROWS) % 2, "files": FILES} | changes.pop("arrays", {})
        return import_vectors(workspace, npz(**arrays), changes.pop("backbone", OPENAI), **changes).id

    first = made()
    assert made() == first
    others = {
        made(classes=["x", "y"]),
        made(split="train"),
        made(backbone=BackboneReference.foreign("ViT-B-32", "laion2b_s34b_b79k")),
        made(arrays={"labels": np.arange(ROWS) % 3}),
        made(arrays={"embeddings": _unit(seed=1)}),
    }
    assert len(others | {first}) == 6


def test_pictures_join_by_name_and_missing_ones_stay_empty(workspace: Workspace, npz, tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "cat").mkdir(parents=True)
    for number in (0, 3):
        (images / "cat" / f"{number}.jpg").write_bytes(b"jpeg")
    (tmp_path / "secret.jpg").write_bytes(b"jpeg")
    files = FILES.copy()
    files[1] = "../secret.jpg"
    artifact = import_vectors(workspace, npz(embeddings=_unit(), files=files), OPENAI, images=images)
    uris = EmbeddingSet.load(artifact).items["uri"].tolist()
    assert uris[0] == str(images.resolve() / "cat" / "0.jpg")
    assert [bool(uri) for uri in uris] == [True, False, False, True] + [False] * 5
    assert artifact.metrics["pictures"] == 2
    with pytest.raises(NotFoundError, match="None of the 9 files"):
        import_vectors(workspace, npz(embeddings=_unit(), files=FILES), OPENAI, images=tmp_path / "workspace")
    with pytest.raises(InvalidInputError, match="names no files"):
        import_vectors(workspace, npz(embeddings=_unit()), OPENAI, images=images)


def test_twin_names_are_told_apart(workspace: Workspace, npz) -> None:
    loaded = EmbeddingSet.load(import_vectors(workspace, npz(embeddings=_unit(3), files=np.array(["a", "a", "b"])), OPENAI))
    assert loaded.items["item"].tolist() == ["a", "a #2", "b"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.json", '["x", "y"]'), ("c.json", '{"0": "x", "1": "y"}'), ("c.json", '{"x": 0, "y": 1}'), ("c.txt", "x\n\ny\n")],
)
def test_class_names_in_every_form(workspace: Workspace, npz, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    path = npz(embeddings=_unit(), labels=np.arange(ROWS) % 2)
    assert EmbeddingSet.load(import_vectors(workspace, path, OPENAI, classes=str(tmp_path / name))).classes == ("x", "y")


def test_parquet_with_names_groups_splits_and_concepts(workspace: Workspace, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "embedding": list(_unit(4).astype(np.float32)),
            "path": ["a", "b", "c", "d"],
            "label": ["dog", "cat", None, "dog"],
            "group": ["g1", "g0", "g1", "g1"],
            "split": ["train", "train", "test", None],
            "striped": [True, False, True, True],
        }
    )
    frame.to_parquet(tmp_path / "vectors.parquet")
    loaded = EmbeddingSet.load(import_vectors(workspace, tmp_path / "vectors.parquet", OPENAI))
    assert loaded.classes == ("cat", "dog")
    assert loaded.labels.tolist() == [1, 0, -1, 1]
    assert loaded.groups == ("g0", "g1")
    assert loaded.items["split"].tolist() == ["train", "train", "test", ""]
    assert loaded.concept_names == ("striped",)
    assert loaded.truth[:, 0].tolist() == [True, False, True, True]
    np.testing.assert_allclose(loaded.embeddings, _unit(4), atol=1e-6)


def test_clip_retrieval_parts_are_joined_by_number_not_by_spelling(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "retrieval"
    (folder / "img_emb").mkdir(parents=True)
    (folder / "metadata").mkdir()
    vectors = _unit(11)
    for part in range(11):
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", vectors[part : part + 1].astype(np.float16))
        pd.DataFrame({"image_path": [f"{part}.jpg"], "caption": ["words"]}).to_parquet(folder / "metadata" / f"metadata_{part}.parquet")
    loaded = EmbeddingSet.load(import_vectors(workspace, folder, OPENAI))
    assert loaded.items["item"].tolist() == [f"{part}.jpg" for part in range(11)]
    np.testing.assert_allclose(loaded.embeddings, vectors, atol=1e-3)
    (folder / "metadata" / "metadata_4.parquet").unlink()
    with pytest.raises(InvalidInputError, match=r"metadata_4\.parquet"):
        import_vectors(workspace, folder, OPENAI)


def test_another_width_or_backbone_is_refused(workspace: Workspace, npz) -> None:
    with pytest.raises(MismatchError, match=r"width 512, but RN50 makes 1024"):
        import_vectors(workspace, npz(embeddings=_unit()), BackboneReference.foreign("RN50", "openai"))
    with pytest.raises(NotFoundError, match="Did you mean"):
        import_vectors(workspace, npz(embeddings=_unit()), BackboneReference.foreign("ViT-B32", "openai"))


def _broken(rows: list[int], value: float) -> np.ndarray:
    vectors = _unit()
    vectors[rows] = value
    return vectors


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": _broken([2, 5], np.nan)}, r"2 vectors are not finite \(rows 2, 5"),
        ({"embeddings": _broken([3], np.inf)}, r"not finite \(rows 3"),
        ({"embeddings": _broken([4], 0)}, r"all zero \(rows 4"),
        ({"embeddings": np.array([{"a": 1}] * 3, dtype=object)}, "pickled Python objects"),
        ({"embeddings": _unit(), "files": np.array(["a"] * ROWS, dtype=object)}, "pickled Python objects"),
        ({"embeddings": np.ones((3, 512), int)}, "float matrix"),
        ({"embeddings": np.ones(512)}, "float matrix"),
        ({"embeddings": np.ones((0, 512))}, "non-empty"),
        ({"vectors": _unit()}, "lacks the array `embeddings`; it holds vectors"),
        ({"embeddings": _unit(), "labels": np.zeros(4, int)}, "4 `labels` for 9 embeddings"),
        ({"embeddings": _unit(), "labels": np.full(ROWS, 2)}, "label 2 has no name"),
        ({"embeddings": _unit(), "labels": np.full(ROWS, -3)}, "negative"),
        ({"embeddings": _unit(), "labels": np.full(ROWS, 0.5)}, "fractions"),
        ({"embeddings": _unit(), "labels": np.eye(ROWS)}, "several were given for one vector"),
        ({"embeddings": _unit(), "labels": np.array(["z"] * ROWS)}, "z not among the given names"),
    ],
)
def test_malformed_archives_are_refused(workspace: Workspace, npz, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        import_vectors(workspace, npz(**arrays), OPENAI, classes=["x", "y"])
    assert workspace.list() == []


def test_files_of_other_kinds_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.parquet").write_text("no table")
    (tmp_path / "text.csv").write_text("1,2")
    pd.DataFrame({"a": [1.0], "b": ["x"]}).to_parquet(tmp_path / "plain.parquet")
    pd.DataFrame({"embedding": [[1.0, 2.0], [1.0]]}).to_parquet(tmp_path / "ragged.parquet")
    for name in ("text.npz", "text.parquet", "text.csv", "plain.parquet", "ragged.parquet", "."):
        with pytest.raises(InvalidInputError):
            import_vectors(workspace, tmp_path / name, OPENAI)
    with pytest.raises(NotFoundError):
        import_vectors(workspace, tmp_path / "absent.npz", OPENAI)
    (tmp_path / "gaps.json").write_text(json.dumps({"0": "a", "2": "b"}))
    np.savez(tmp_path / "good.npz", embeddings=_unit())
    with pytest.raises(InvalidInputError, match="gaps"):
        import_vectors(workspace, tmp_path / "good.npz", OPENAI, classes=tmp_path / "gaps.json")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "text.json").write_text('"ab"')
    for name in ("latin.txt", "text.json"):
        with pytest.raises(InvalidInputError, match=name):
            import_vectors(workspace, tmp_path / "good.npz", OPENAI, classes=tmp_path / name)


def test_labels_that_are_identifiers_do_not_become_billions_of_classes(workspace: Workspace, npz) -> None:
    with pytest.raises(InvalidInputError, match="not a class number"):
        import_vectors(workspace, npz(embeddings=_unit(), labels=np.arange(ROWS) + 10**10), OPENAI)


def test_splits_are_called_as_folders_and_tables_call_them(workspace: Workspace, npz) -> None:
    splits = np.array(["Train", "TEST", "validation", "mine", "", "", "", "", ""])
    loaded = EmbeddingSet.load(import_vectors(workspace, npz(embeddings=_unit(), splits=splits), OPENAI))
    assert loaded.items["split"].tolist() == ["train", "test", "val", "mine", "", "", "", "", ""]


def test_a_name_that_no_file_can_have_has_no_picture(workspace: Workspace, npz, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    files = np.array(["a.jpg", "x" * 3000, *FILES[2:]])
    loaded = EmbeddingSet.load(import_vectors(workspace, npz(embeddings=_unit(), files=files), OPENAI, images=tmp_path))
    assert [bool(uri) for uri in loaded.items["uri"]] == [True] + [False] * (ROWS - 1)
