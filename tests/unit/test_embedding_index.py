"""The index: exact where it can be, measured where it is not, and never stale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.embeddings.index import VectorIndex
from cbm.embeddings.search import Searcher
from cbm.embeddings.sets import EmbeddingSet
from cbm.workspace.workspace import Workspace


def _clustered(count: int = 6000, dim: int = 24, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(60, dim))
    vectors = centres[generator.integers(60, size=count)] + 0.25 * generator.normal(size=(count, dim))
    return (vectors * generator.uniform(0.5, 2, size=(count, 1))).astype(np.float32)


def _brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.argsort(-(queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T, axis=1)[:, :k]


def test_small_sets_are_searched_exactly_by_cosine_without_files(tmp_path: Path) -> None:
    vectors, queries = _clustered(500), _clustered(7, seed=1)
    index = VectorIndex(tmp_path / "index", vectors)
    result = index.search(queries, 9)
    np.testing.assert_array_equal(result.rows, _brute_force(vectors, queries, 9))
    best = vectors[result.rows[0, 0]]
    assert result.scores[0, 0] == pytest.approx(best @ queries[0] / np.linalg.norm(best) / np.linalg.norm(queries[0]), abs=1e-5)
    assert (index.info.kind, index.info.recall, index.recall()) == ("flat", 1.0, 1.0)
    assert not (tmp_path / "index").exists()
    assert index.search(queries, 900).rows.shape == (7, 500)


def test_large_sets_get_an_inverted_file_whose_recall_is_measured(tmp_path: Path) -> None:
    vectors = _clustered()
    index = VectorIndex(tmp_path, vectors, flat_limit=1000)
    assert index.info.kind.startswith("IVF")
    assert index.info.recall >= 0.95
    assert index.recall() == index.info.recall
    queries = vectors[:200]
    found = index.search(queries, 10).rows
    exact = _brute_force(vectors, queries, 10)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]) / 10 > 0.9


def test_vectors_without_clusters_stay_exact(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5000, 64)).astype(np.float32)
    index = VectorIndex(tmp_path, vectors, flat_limit=1000)
    assert index.info.kind == "flat"
    np.testing.assert_array_equal(index.search(vectors[:5], 10).rows, _brute_force(vectors, vectors[:5], 10))


def test_the_stored_index_is_used_until_the_vectors_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    build = VectorIndex._build
    monkeypatch.setattr(VectorIndex, "_build", lambda self, digest: built.append(digest) or build(self, digest))
    vectors = _clustered()
    first = VectorIndex(tmp_path, vectors, flat_limit=1000)
    again = VectorIndex(tmp_path, vectors.copy(), flat_limit=1000)
    assert len(built) == 1
    assert again.info == first.info
    np.testing.assert_array_equal(again.search(vectors[:9], 5).rows, first.search(vectors[:9], 5).rows)
    vectors[17] *= -1
    VectorIndex(tmp_path, vectors, flat_limit=1000)
    assert len(built) == 2


@pytest.mark.parametrize("damage", ["index.faiss", "index.json", "missing"])
def test_a_damaged_index_is_rebuilt_not_trusted(tmp_path: Path, damage: str) -> None:
    vectors = _clustered()
    first = VectorIndex(tmp_path, vectors, flat_limit=1000)
    if damage == "missing":
        (tmp_path / "index.faiss").unlink()
    else:
        data = bytearray((tmp_path / damage).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (tmp_path / damage).write_bytes(bytes(data))
    again = VectorIndex(tmp_path, vectors, flat_limit=1000)
    np.testing.assert_array_equal(again.search(vectors[:9], 5).rows, first.search(vectors[:9], 5).rows)


def test_queries_and_sets_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="width 24"):
        VectorIndex(tmp_path, _clustered(10)).search(np.ones((1, 3), np.float32), 2)
    with pytest.raises(InvalidInputError, match="non-empty"):
        VectorIndex(tmp_path, np.zeros((0, 4), np.float32))


class _Encoder:
    """Replaces a backbone whose text and picture of an item are the item's own vector."""

    reference = BackboneReference("ViT-B-32", "openai", "f" * 32)

    def __init__(self, vector: np.ndarray) -> None:
        self.vector = vector

    def encode_texts(self, texts: list[str], templates: tuple[str, ...]) -> np.ndarray:
        return np.stack([self.vector for _ in texts])

    encode_images = lambda self, images: np.stack([self.vector for _ in images])  # noqa: E731


def test_search_by_item_leaves_the_item_out_and_by_text_needs_the_same_backbone(tmp_path: Path) -> None:
    vectors = _clustered(50)
    items = pd.DataFrame({"item": [f"{i:03}.png" for i in range(50)], "uri": [f"/p/{i:03}.png" for i in range(50)]})
    items = items.assign(label=-1, group=-1, split="", sha256="")
    chosen = EmbeddingSet("embeddings-1", vectors, items, (), (), _Encoder.reference, "raw")
    searcher = Searcher.open(Workspace(tmp_path), chosen)
    expected = _brute_force(vectors, vectors[7:8], 6)[0, 1:]
    for item in (7, "007.png", "/p/007.png"):
        np.testing.assert_array_equal(searcher.by_item(item, 5).rows[0], expected)
    encoder = _Encoder(vectors[7])
    assert searcher.by_text("anything", encoder, 3).rows[0, 0] == 7  # type: ignore[arg-type]
    assert searcher.by_image(None, encoder, 3).rows[0, 0] == 7  # type: ignore[arg-type]
    encoder.reference = BackboneReference("ViT-B-32", "openai", "0" * 32)
    with pytest.raises(MismatchError, match="backbones"):
        searcher.by_text("anything", encoder)  # type: ignore[arg-type]
