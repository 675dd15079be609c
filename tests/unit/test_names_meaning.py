"""Names compared by meaning, with the real encoder that is installed with the project."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cbm.names.meaning import NameMeanings, SentenceEncoder, embed_names, likely_duplicates, names_digest, shared_encoder

NAMES = ("car side", "motorbikes", "strawberry", "stop sign", "wild cat", "grand piano")


class Counting:
    """Represents the encoder: a unit vector for each text, and a count of what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        rows = np.array([np.random.default_rng(sum(text.encode())).normal(size=8) for text in texts], np.float32).reshape(len(texts), 8)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def meanings() -> NameMeanings:
    return embed_names(NAMES)


@pytest.mark.parametrize(
    ("query", "expected"), [("vehicle", {"car side", "motorbikes"}), ("fruit", {"strawberry"}), ("musical instrument", {"grand piano"})]
)
def test_a_word_finds_names_that_share_no_letters_with_it(meanings: NameMeanings, query: str, expected: set[str]) -> None:
    found = meanings.related(query, shared_encoder)
    assert set(found) >= expected
    assert max(found, key=lambda name: found[name]) in expected
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_unrelated_names_are_not_found(meanings: NameMeanings) -> None:
    assert "strawberry" not in meanings.related("vehicle", shared_encoder)


def test_vectors_have_length_one(meanings: NameMeanings) -> None:
    assert np.allclose(np.linalg.norm(meanings.vectors, axis=1), 1, atol=1e-5)


def test_threads_share_one_encoder() -> None:
    results: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: results.append(shared_encoder.encode(["lamp"]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)


def test_names_are_embedded_once_and_kept(tmp_path: Path) -> None:
    encoder = Counting()
    first = embed_names(["a", "b", "a"], folder=tmp_path, encoder=encoder)
    second = embed_names(["a", "b"], folder=tmp_path, encoder=encoder)
    assert encoder.asked == ["a", "b"]
    assert first.names == second.names == ("a", "b")
    assert np.array_equal(first.vectors, second.vectors)


def test_nothing_is_written_where_nothing_may_be_kept(tmp_path: Path) -> None:
    embed_names(["a"], folder=tmp_path, keep=False, encoder=Counting())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    encoder = Counting()
    embed_names(["a", "b"], folder=tmp_path, encoder=encoder)
    file = tmp_path / f"{names_digest(('a', 'b'))}.safetensors"
    if damage is None:
        embed_names(["c"], folder=tmp_path, encoder=encoder)
        (tmp_path / f"{names_digest(('c',))}.safetensors").replace(file)
    else:
        file.write_bytes(damage)
    again = embed_names(["a", "b"], folder=tmp_path, encoder=encoder)
    assert again.vectors.shape == (2, 8)
    assert np.array_equal(embed_names(["a", "b"], folder=tmp_path, encoder=Counting()).vectors, again.vectors)


def test_no_names_are_no_meanings() -> None:
    assert embed_names([], encoder=Counting()).names == ()


def test_progress_ends_at_one() -> None:
    told: list[float] = []
    embed_names([str(number) for number in range(600)], encoder=Counting(), progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def _meanings(vectors: dict[str, Sequence[float]]) -> NameMeanings:
    return NameMeanings(tuple(vectors), np.array(list(vectors.values()), np.float32))


def test_near_names_on_near_directions_are_suggested_as_one() -> None:
    known = _meanings({"car": (1, 0), "automobile": (0.96, 0.28), "fish": (0, 1)})
    neighbours = np.array([[1, 2], [0, 2], [0, 1]], np.int32)
    similarities = np.array([[0.8, 0.6], [0.8, 0.1], [0.6, 0.1]], np.float32)
    (group,) = likely_duplicates(["car", "automobile", "fish"], neighbours, similarities, known, np.array([0, 1, 2]), least=0.7)
    assert group.concepts == (0, 1)
    assert group.agreement == pytest.approx((0.96 + 0.8) / 2, abs=1e-6)


def test_suggestions_never_chain_and_never_overlap() -> None:
    known = _meanings({"x": (1.0, 0.0)})
    neighbours = np.array([[1, -1], [0, 2], [1, 3], [2, -1]], np.int32)
    similarities = np.full((4, 2), 0.9, np.float32)
    groups = likely_duplicates(["x"] * 4, neighbours, similarities, known, np.arange(4), least=0.7)
    assert [group.concepts for group in groups] == [(0, 1), (2, 3)]


def test_concepts_left_out_are_in_no_suggestion() -> None:
    known = _meanings({"x": (1.0, 0.0)})
    neighbours = np.array([[1], [0]], np.int32)
    assert not likely_duplicates(["x", "x"], neighbours, np.ones((2, 1), np.float32), known, np.array([0]), least=0.5)


def test_a_name_without_a_known_meaning_needs_the_very_same_direction() -> None:
    known = _meanings({"car": (1.0, 0.0)})
    neighbours = np.array([[1], [0]], np.int32)
    names = ["car", "unnamed 1"]
    assert not likely_duplicates(names, neighbours, np.full((2, 1), 0.95, np.float32), known, np.arange(2), least=0.7)


def test_the_encoder_is_loaded_at_its_first_use() -> None:
    assert not SentenceEncoder().loaded
