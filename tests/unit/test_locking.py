"""Locks on files: one holder, also where somebody sweeps away what looks left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cbm.core.errors import InvalidInputError
from cbm.core.locking import FileLock, is_free


def test_a_lock_has_one_holder_and_is_free_after_it(tmp_path: Path) -> None:
    path = tmp_path / "writer.lock"
    lock = FileLock(path)
    lock.acquire()
    assert not is_free(path)
    with pytest.raises(InvalidInputError, match=str(os.getpid())):
        FileLock(path).acquire()
    lock.release()
    assert is_free(path)


def test_asking_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "left-behind.lock"
    path.write_text("77\n")
    os.utime(path, (5, 5))
    assert is_free(path)
    assert (path.read_text(), path.stat().st_mtime) == ("77\n", 5)
    assert is_free(tmp_path / "none.lock")
    assert not (tmp_path / "none.lock").exists()


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
def test_a_lock_whose_file_is_swept_away_as_it_is_taken_still_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.lock"
    lock, take = FileLock(path), FileLock.acquire.__globals__["_lock"]
    swept = iter([True])

    def swept_meanwhile(file: object) -> None:
        if next(swept, False):
            path.unlink()
        take(file)

    monkeypatch.setattr("cbm.core.locking._lock", swept_meanwhile)
    lock.acquire()
    with pytest.raises(InvalidInputError):
        FileLock(path).acquire()
