"""Vocabularies as artefacts: encoded once, read back equal, precomputed ones checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import Cancelled, CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.names.vocabulary import Vocabulary, build_vocabulary, import_vocabulary
from cbm.workspace.workspace import Workspace

REFERENCE = BackboneReference("tiny", "none", "0" * 32)


class FakeBackbone:
    """Encodes a name as random numbers seeded by its letters, and counts calls."""

    dim = 8
    reference = REFERENCE

    def __init__(self) -> None:
        self.calls = 0
        self.templates: tuple[str, ...] = ()

    def encode_texts(self, texts: tuple[str, ...], templates: tuple[str, ...] = ("{}",)) -> np.ndarray:
        self.calls += 1
        self.templates = templates
        rows = np.stack([np.random.default_rng(sum(map(ord, text))).normal(size=self.dim) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("dog\ncat\nfire truck\n")
    return file


def build(workspace: Workspace, source: Any, backbone: FakeBackbone, **options: Any) -> Any:
    return build_vocabulary(workspace, source, backbone, **options)  # type: ignore[arg-type]


def test_a_vocabulary_is_encoded_once_and_read_back_equal(tmp_path: Path, words: Path) -> None:
    workspace, backbone = Workspace(tmp_path / "workspace"), FakeBackbone()
    artifact = build(workspace, words, backbone)
    assert build(workspace, words, backbone).id == artifact.id
    assert backbone.calls == 1
    vocabulary = Vocabulary.load(artifact)
    assert vocabulary.names == ("dog", "cat", "fire truck")
    np.testing.assert_array_equal(vocabulary.embeddings, FakeBackbone().encode_texts(vocabulary.names))
    np.testing.assert_allclose(vocabulary.mean, vocabulary.embeddings.mean(axis=0), atol=1e-7)
    assert vocabulary.backbone == REFERENCE
    assert artifact.metrics["count"] == 3


def test_other_names_or_templates_make_another_vocabulary(tmp_path: Path, words: Path) -> None:
    workspace, backbone = Workspace(tmp_path / "workspace"), FakeBackbone()
    first = build(workspace, words, backbone)
    prompted = build(workspace, words, backbone, templates=("a photo of a {}.",))
    assert backbone.templates == ("a photo of a {}.",)
    words.write_text("dog\ncat\nfire engine\n")
    assert len({first.id, prompted.id, build(workspace, words, backbone).id}) == 3


def test_cancelling_leaves_nothing(tmp_path: Path, words: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(Cancelled):
        build(workspace, words, FakeBackbone(), cancelled=lambda: True)
    assert workspace.list() == []


def test_a_template_without_a_place_for_the_name_is_refused(tmp_path: Path, words: Path) -> None:
    with pytest.raises(InvalidInputError, match="exactly one"):
        build(Workspace(tmp_path / "workspace"), words, FakeBackbone(), templates=("a photo",))


def write_npz(file: Path, **arrays: np.ndarray) -> Path:
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file


def test_a_precomputed_vocabulary_is_normalised_and_freed_of_repetitions(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float16) * 3
    file = write_npz(tmp_path / "words.npz", embeddings=embeddings, names=np.array(["dog", " cat", "DOG", "hot-air balloon"]))
    artifact = import_vocabulary(Workspace(tmp_path / "workspace"), file, REFERENCE, dim=8)
    vocabulary = Vocabulary.load(artifact)
    assert vocabulary.names == ("dog", "cat", "hot-air balloon")
    expected = embeddings[[0, 1, 3]].astype(np.float32)
    np.testing.assert_allclose(vocabulary.embeddings, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize(
    "arrays",
    [
        {"embeddings": np.ones((2, 8), np.float32)},
        {"embeddings": np.ones((2, 8), np.float32), "names": np.array(["dog"])},
        {"embeddings": np.ones((2, 8), np.int64), "names": np.array(["dog", "cat"])},
        {"embeddings": np.zeros((2, 8), np.float32), "names": np.array(["dog", "cat"])},
        {"embeddings": np.full((2, 8), np.nan, np.float32), "names": np.array(["dog", "cat"])},
        {"embeddings": np.ones((2, 8), np.float32), "names": np.array(["dog", None], dtype=object)},
        {"embeddings": np.ones((1, 8), np.float32), "names": np.array([""])},
    ],
    ids=["no names", "too few names", "integers", "zeros", "not finite", "pickled", "blank"],
)
def test_a_malformed_npz_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidInputError, match=r"words\.npz"):
        Vocabulary.from_npz(write_npz(tmp_path / "words.npz", **arrays), REFERENCE)


def test_vectors_of_another_dimension_than_the_backbone_are_refused(tmp_path: Path) -> None:
    file = write_npz(tmp_path / "words.npz", embeddings=np.ones((2, 5), np.float32), names=np.array(["dog", "cat"]))
    with pytest.raises(InvalidInputError, match="dimension 5"):
        build(Workspace(tmp_path / "workspace"), file, FakeBackbone())


def test_a_missing_npz_and_a_damaged_artefact_say_so(tmp_path: Path, words: Path) -> None:
    with pytest.raises(NotFoundError):
        Vocabulary.from_npz(tmp_path / "absent.npz", REFERENCE)
    artifact = build(Workspace(tmp_path / "workspace"), words, FakeBackbone())
    (artifact.path / "vocabulary.safetensors").write_bytes(b"rubbish")
    with pytest.raises(CorruptArtifactError, match="make it again"):
        Vocabulary.load(artifact)
