"""The embedding store: what is committed is there for ever, what is not is as if it had never been."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cbm.core.errors import CorruptArtifactError, InvalidInputError, MismatchError
from cbm.embeddings import store as store_module
from cbm.embeddings.store import ABSENT, EmbeddingStore


def _digests(numbers: range) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in numbers]


def _vectors(numbers: range, dim: int = 5) -> np.ndarray:
    return np.array([np.random.default_rng(number).normal(size=dim) for number in numbers], dtype=np.float32)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "ROWS_PER_SHARD", 4)


@pytest.mark.usefixtures("small_shards")
def test_vectors_come_back_by_digest_across_shards_and_reopening(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path).open("key", 5, write=True) as part:
        part.append(_digests(range(3)), _vectors(range(3)))
        part.append(_digests(range(3, 14)), _vectors(range(3, 14)))
    with EmbeddingStore(tmp_path).open("key", 5) as part:
        assert len(part) == 14
        rows = part.lookup(_digests(range(15))[::-1])
        assert rows[0] == ABSENT
        np.testing.assert_array_equal(part.read(rows[1:]), _vectors(range(14))[::-1])
        assert _digests(range(1))[0] in part
        assert b"x" * 32 not in part
        assert [(batch.first_row, batch.count) for batch in part.batches()] == [(0, 3), (3, 11)]
    assert len(list((tmp_path / "key").glob("shard-*.f32"))) == 4


def test_more_digests_than_one_query_takes(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path).open("key", 2, write=True) as part:
        part.append(_digests(range(1203)), _vectors(range(1203), 2))
        np.testing.assert_array_equal(part.lookup(_digests(range(1203))), np.arange(1203))


@pytest.mark.usefixtures("small_shards")
def test_a_tail_that_was_never_committed_is_overwritten(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path).open("key", 5, write=True) as part:
        part.append(_digests(range(6)), _vectors(range(6)))
    # What a process leaves that dies between writing rows and committing them: a longer shard, and a new one.
    with (tmp_path / "key" / "shard-00001.f32").open("ab") as shard:
        shard.write(b"\xff" * 33)
    (tmp_path / "key" / "shard-00002.f32").write_bytes(b"\xff" * 17)
    with EmbeddingStore(tmp_path).open("key", 5, write=True) as part:
        assert len(part) == 6
        part.append(_digests(range(6, 11)), _vectors(range(6, 11)))
        np.testing.assert_array_equal(part.read(np.arange(11)), _vectors(range(11)))


def test_a_failed_batch_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path).open("key", 5, write=True) as part:
        part.append(_digests(range(2)), _vectors(range(2)))
        with pytest.raises(sqlite3.IntegrityError):
            part.append(_digests(range(1, 3)), _vectors(range(1, 3)))
        assert len(part) == 2
        assert len(part.batches()) == 1
        part.append(_digests(range(2, 4)), _vectors(range(2, 4)))
        np.testing.assert_array_equal(part.read(np.arange(4)), _vectors(range(4)))


def test_a_reader_sees_what_a_writer_adds_meanwhile(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    with store.open("key", 5, write=True) as writer, store.open("key", 5) as reader:
        writer.append(_digests(range(3)), _vectors(range(3)))
        np.testing.assert_array_equal(reader.read(reader.lookup(_digests(range(3)))), _vectors(range(3)))
        writer.append(_digests(range(3, 5)), _vectors(range(3, 5)))
        np.testing.assert_array_equal(reader.read(reader.lookup(_digests(range(5)))), _vectors(range(5)))


def test_a_second_writer_is_told_who_is_first_also_in_another_process(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path)
    with store.open("key", 5, write=True):
        with pytest.raises(InvalidInputError, match=str(os.getpid())):
            store.open("key", 5, write=True)
        code = (
            "from cbm.embeddings.store import *; from pathlib import Path; "
            f"EmbeddingStore(Path({str(tmp_path)!r})).open('key', 5, write=True)"
        )
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert f"Process {os.getpid()} is embedding" in process.stderr
        store.open("other-backbone", 5, write=True).close()
    store.open("key", 5, write=True).close()


def test_another_width_is_refused(tmp_path: Path) -> None:
    EmbeddingStore(tmp_path).open("key", 5, write=True).close()
    with pytest.raises(MismatchError, match="width 5, not 6"):
        EmbeddingStore(tmp_path).open("key", 6)


def test_files_that_contradict_the_manifest_are_reported(tmp_path: Path) -> None:
    with EmbeddingStore(tmp_path).open("key", 5, write=True) as part:
        part.append(_digests(range(3)), _vectors(range(3)))
    shard = tmp_path / "key" / "shard-00000.f32"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CorruptArtifactError, match="shorter"):
        EmbeddingStore(tmp_path).open("key", 5)
    for file in (tmp_path / "key").glob("manifest.sqlite*"):
        file.write_bytes(b"no database" * 400)
    with pytest.raises(CorruptArtifactError, match="damaged"):
        EmbeddingStore(tmp_path).open("key", 5)
