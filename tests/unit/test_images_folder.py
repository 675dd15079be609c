"""Folders: labels and splits from the layout, a stable order, and nothing outside the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from image_corpus import corpus

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.folder import is_ignored, places
from cbm.images.records import ImageRecord, ImageSource, Rejected
from cbm.images.sources import open_source


def fill(root: Path, *paths: str) -> Path:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(corpus()["png"])
    return root


def layout(source: ImageSource) -> dict[str, tuple[str | None, str | None]]:
    return {record.item: (record.label, record.split) for record in source.records() if isinstance(record, ImageRecord)}


def rejections(source: ImageSource) -> dict[str, str]:
    return {data.item: data.reason for _, data in source if isinstance(data, Rejected)}


def test_one_folder_a_class_gives_labels_in_sorted_order(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path, "dog/2.png", "cat/10.png", "cat/deep/er/1.png", "dog/1.png"))
    assert list(layout(source).items()) == [
        ("cat/10.png", ("cat", None)),
        ("cat/deep/er/1.png", ("cat", None)),
        ("dog/1.png", ("dog", None)),
        ("dog/2.png", ("dog", None)),
    ]
    assert (source.kind, source.name, len(source)) == ("folder", tmp_path.name, 4)
    assert isinstance(source, ImageSource)


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    assert layout(open_source(fill(tmp_path, "b.png", "a.png"))) == {"a.png": (None, None), "b.png": (None, None)}


def test_outer_train_val_test_folders_are_splits(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path, "Training/cat/1.png", "valid/cat/1.png", "test/1.png"))
    assert layout(source) == {"Training/cat/1.png": ("cat", "train"), "test/1.png": (None, "test"), "valid/cat/1.png": ("cat", "val")}


def test_a_class_called_train_beside_other_classes_stays_a_class() -> None:
    assert [place.label for place in places(["train/1.png", "car/1.png"])] == ["train", "car"]
    assert [place.split for place in places(["train/1.png", "car/1.png"])] == [None, None]


def test_a_single_outer_folder_of_folders_is_stepped_over() -> None:
    assert [place.label for place in places(["data/pets/cat/1.png", "data/pets/dog/1.png"])] == ["cat", "dog"]
    assert [(p.label, p.split) for p in places(["data/train/cat/1.png", "data/test/cat/1.png"])] == [("cat", "train"), ("cat", "test")]
    assert [place.label for place in places(["cat/1.png", "cat/2.png"])] == ["cat", "cat"]
    assert places([]) == []


def test_records_and_iteration_agree_and_can_be_repeated(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path, "a/1.png", "b/2.png"))
    records = list(source.records())
    for _ in range(2):
        pairs = list(source)
        assert [record for record, _ in pairs] == records
        assert all(data == corpus()["png"] for _, data in pairs)


def test_one_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    fill(tmp_path, "a/good.png")
    (tmp_path / "a/empty.jpg").write_bytes(b"")
    (tmp_path / "a/page.jpg").write_bytes(b"<!DOCTYPE html><title>404</title>")
    (tmp_path / "a/film.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(50))
    source = open_source(tmp_path)
    assert len(source) == len(list(source)) == 4
    found = rejections(source)
    assert found.keys() == {"a/empty.jpg", "a/page.jpg", "a/film.mp4"}
    assert "empty" in found["a/empty.jpg"]
    assert "web page" in found["a/page.jpg"]
    assert "video" in found["a/film.mp4"]


def test_hidden_files_litter_and_side_files_are_no_candidates(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", ".hidden/2.png", "a/.3.png", "__MACOSX/a/._1.png", "a/Thumbs.db", "labels.csv", "a/1.txt", "README.md")
    assert [record.item for record in open_source(tmp_path).records()] == ["a/1.png"]
    assert is_ignored("x/.git/y.png")
    assert not is_ignored("x/photo.JPG")
    assert not is_ignored("no-suffix")


def test_links_are_followed_within_the_folder_and_not_beyond(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", "secret.png", "more/1.png")
    root = fill(tmp_path / "root", "a/1.png")
    (root / "a/inside.png").symlink_to(root / "a/1.png")
    (root / "a/leaves.png").symlink_to(outside / "secret.png")
    (root / "a/dangling.png").symlink_to(root / "nowhere.png")
    (root / "b").symlink_to(outside / "more")
    (root / "loop").symlink_to(root)
    source = open_source(root)
    assert [record.item for record, data in source if isinstance(data, bytes)] == ["a/1.png", "a/inside.png"]
    found = rejections(source)
    assert found.keys() == {"a/leaves.png", "a/dangling.png", "b", "loop"}
    assert "leaves the folder" in found["a/leaves.png"]
    assert "does not exist" in found["a/dangling.png"]
    assert "link to a folder" in found["b"]


@pytest.mark.timeout(20)
def test_a_named_pipe_does_not_hang_the_run(tmp_path: Path) -> None:
    fill(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    assert "not a plain file" in rejections(open_source(tmp_path))["2.png"]


def test_a_file_that_goes_away_meanwhile_is_rejected(tmp_path: Path) -> None:
    source = open_source(fill(tmp_path, "1.png", "2.png"))
    (tmp_path / "1.png").unlink()
    assert rejections(source) == {"1.png": "the file does not exist"}


def test_a_name_that_is_no_text_is_rejected_because_no_table_could_hold_it(tmp_path: Path) -> None:
    fill(tmp_path, "ok.png", "grün/ü.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system only takes valid names")
    source = open_source(tmp_path)
    (bad,) = rejections(source)
    assert bad.encode() == rb"\xff\xfe.png"
    assert len(source) == 3


def test_files_too_long_for_a_picture_are_not_read(tmp_path: Path) -> None:
    fill(tmp_path, "1.png")
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(300 * 2**20)
    assert "300 MiB" in rejections(open_source(tmp_path))["huge.jpg"]


def test_nothing_to_find_says_what_to_give_instead(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        open_source(tmp_path / "missing")
    with pytest.raises(NotFoundError, match="holds no pictures"):
        open_source(tmp_path)
    (tmp_path / "film.xyz").write_bytes(b"data")
    with pytest.raises(InvalidInputError, match="not a source of images"):
        open_source(tmp_path / "film.xyz")
