"""Files and folders that are whole or not there, and locks with one holder, also where somebody sweeps away what looks left behind."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cbm.core import files
from cbm.core.errors import InvalidInputError
from cbm.core.files import FileLock, is_free, publish_folder, remove_folder, whole_file, write_json, write_text


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
    lock, take = FileLock(path), files._lock
    swept = iter([True])

    def swept_meanwhile(file: object) -> None:
        if next(swept, False):
            path.unlink()
        take(file)

    monkeypatch.setattr("cbm.core.files._lock", swept_meanwhile)
    lock.acquire()
    with pytest.raises(InvalidInputError):
        FileLock(path).acquire()
    lock.release()


def test_a_write_that_fails_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "below" / "notes [1].txt"
    write_text(file, "früher")

    def write_half() -> None:
        with whole_file(file) as draft:
            draft.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert file.read_text(encoding="utf-8") == "früher"
    assert [path.name for path in file.parent.iterdir()] == ["notes [1].txt"]


def test_what_a_killed_writer_left_goes_with_a_later_write(tmp_path: Path) -> None:
    for name, seconds in ((".a[1].json-7-ab.writing", 5.0), (".b.json-7-ab.writing", 5.0), (".a[1].json-8-cd.writing", None)):
        (tmp_path / name).touch()
        if seconds is not None:
            os.utime(tmp_path / name, (seconds, seconds))
    write_json(tmp_path / "a[1].json", {"ü": 1})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a[1].json-8-cd.writing", ".b.json-7-ab.writing", "a[1].json"]
    assert json.loads((tmp_path / "a[1].json").read_text(encoding="utf-8")) == {"ü": 1}


def test_of_two_equal_folders_the_first_wins(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name / "inner").mkdir(parents=True)
        write_text(tmp_path / name / "whole.json", name)
    publish_folder(tmp_path / "one", tmp_path / "final", proof="whole.json")
    publish_folder(tmp_path / "two", tmp_path / "final", proof="whole.json")
    assert (tmp_path / "final" / "whole.json").read_text() == "one"
    with pytest.raises(OSError, match="other"):
        publish_folder(tmp_path / "other", tmp_path / "final", proof="else.json")
    remove_folder(tmp_path / "final")
    remove_folder(tmp_path / "final")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
