"""Uploads: whatever a browser sends is kept whole and once below the workspace, or refused in words."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cbm import verbs
from cbm.core.errors import CbmError, InvalidInputError, NotFoundError
from cbm.images.records import ImageRecord
from cbm.images.sources import open_source
from cbm.ui.access import modes, uploads, visitors
from cbm.ui.access.limits import HOSTED, LimitError, NotAllowedError
from cbm.ui.pages.export import loading


@dataclass(frozen=True)
class File:
    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


def picture(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 100, 50)).save(buffer, "PNG")
    return buffer.getvalue()


def packed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def labels(source: Path) -> dict[str, str | None]:
    return {record.item: record.label for record in open_source(source).records() if isinstance(record, ImageRecord)}


def leftovers(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "uploads").glob(".*"))


@pytest.mark.parametrize(
    "name",
    ["../escape.png", "a/../../escape.png", "/etc/passwd.png", "C:\\windows\\a.png", "..\\escape.png", "a\x00.png", "a::b.png", "", "./."],
)
def test_names_that_lead_out_of_the_upload_are_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="name"):
        uploads.keep(tmp_path / "workspace", [File("fine.png", picture()), File(name, picture(1))])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_long_and_deep_names_are_refused() -> None:
    for name in ("a" * 300 + ".png", "/".join("d" * 20) + "/a.png", "\udcff.png"):
        with pytest.raises(InvalidInputError):
            uploads.clean_name(name)
    assert uploads.clean_name("cats\\.\\tom one.png") == "cats/tom one.png"
    assert uploads.clean_name("Größe/日本.png") == "Größe/日本.png"


def test_same_upload_twice_is_kept_once_whatever_the_order(tmp_path: Path) -> None:
    files = [File("a.png", picture(1)), File("b.png", picture(2))]
    first = uploads.keep(tmp_path, files)
    stamp = first.stat().st_mtime_ns
    assert uploads.keep(tmp_path, files[::-1]) == first
    assert first.stat().st_mtime_ns == stamp
    assert uploads.keep(tmp_path, [*files, File("c.png", picture(3))]) != first
    assert len(list((tmp_path / "uploads").iterdir())) == 2


def test_two_files_of_one_name_are_both_kept_and_equal_ones_once(tmp_path: Path) -> None:
    files = [
        File("a.png", picture(1)),
        File("a.png", picture(2)),
        File("a (2).png", picture(3)),
        File("A.png", picture(4)),
        File("a.png", picture(1)),
    ]
    kept = sorted(path.name for path in uploads.keep(tmp_path, files).iterdir())
    assert len(kept) == 4
    assert len({name.casefold() for name in kept}) == 4


def test_folders_of_a_directory_upload_become_labels(tmp_path: Path) -> None:
    names = ["pets/cat/1.png", "pets/cat/2.png", "pets/dog/1.png", "pets/.DS_Store", "pets/notes.txt"]
    source = uploads.keep(tmp_path, [File(name, picture(index)) for index, name in enumerate(names)])
    assert labels(source) == {"pets/cat/1.png": "cat", "pets/cat/2.png": "cat", "pets/dog/1.png": "dog"}


def test_class_folders_in_a_zip_become_labels_exactly_as_in_a_folder(tmp_path: Path) -> None:
    members = {
        "photos/train/cat/1.png": picture(1),
        "photos/train/dog/deep/2.png": picture(2),
        "photos/test/cat/3.png": picture(3),
        "__MACOSX/photos/._1.png": b"litter",
        "photos/train/.DS_Store": b"litter",
        "photos/readme.md": b"words",
    }
    source = uploads.keep(tmp_path / "workspace", [File("photos.zip", packed(members))])
    for name, data in members.items():
        (tmp_path / "plain" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(data)

    def described(path: Path) -> set[tuple[str, str | None, str | None]]:
        return {(r.item, r.label, r.split) for r in open_source(path).records() if isinstance(r, ImageRecord)}

    assert described(source) == described(tmp_path / "plain")
    assert {label for _, label, _ in described(source)} == {"cat", "dog"}


@pytest.mark.parametrize("place", ["", "images/"])
def test_table_with_a_zip_lists_the_pictures_of_the_zip(tmp_path: Path, place: str) -> None:
    table = f"path,label,striped\n{place}a.png,cat,1\n{place}b.png,dog,0\n".encode()
    archive = packed({f"{place}a.png": picture(1), f"{place}b.png": picture(2), f"{place}c.png": picture(3)})
    source = uploads.keep(tmp_path, [File("pets.csv", table), File("pets.zip", archive)])
    opened = open_source(source, confine=True)
    assert opened.concept_names == ("striped",)
    assert labels(source) == {f"{place}a.png": "cat", f"{place}b.png": "dog"}
    assert not list(source.parent.rglob("*.zip"))


def test_table_may_be_relative_to_the_only_folder_of_its_zip(tmp_path: Path) -> None:
    files = [File("t.csv", b"path,label\na.png,cat\n"), File("t.zip", packed({"outer/a.png": picture()}))]
    source = uploads.keep(tmp_path, files)
    assert labels(source) == {"a.png": "cat"}
    assert uploads.keep(tmp_path, files) == source


def test_table_with_loose_pictures(tmp_path: Path) -> None:
    source = uploads.keep(tmp_path, [File("t.csv", b"path,label\na.png,cat\n"), File("a.png", picture())])
    assert labels(source) == {"a.png": "cat"}


def test_table_of_a_stranger_reaches_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    files = [File("t.csv", f"path\na.png\n{secret}\n../../../secret.png\n".encode()), File("a.png", picture())]
    source = uploads.keep(tmp_path / "workspace", files)
    reasons = [str(record) for record in open_source(source, confine=True).records() if not isinstance(record, ImageRecord)]
    assert len(reasons) == 2
    assert verbs.embed(source, workspace=tmp_path / "workspace", device="cpu").count == 1


def test_vectors_are_kept_as_they_are(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, embeddings=np.eye(4, dtype=np.float32))
    assert uploads.keep(tmp_path, [File("v.npz", buffer.getvalue())]).read_bytes() == buffer.getvalue()
    table = io.BytesIO()
    pd.DataFrame({"embedding": [[1.0, 0.0]]}).to_parquet(table)
    assert uploads.keep(tmp_path, [File("v.parquet", table.getvalue())]).name == "v.parquet"


def test_vectors_may_bring_their_pictures_and_class_names(tmp_path: Path) -> None:
    files = [File("v.npz", b"vectors"), File("classes.txt", b"cat\ndog\n"), File("pets.zip", packed({"a.png": picture()}))]
    source = uploads.keep(tmp_path, files)
    assert source.name == "v.npz"
    assert (source.parent / "classes.txt").read_text() == "cat\ndog\n"
    assert [path.name for path in (source.parent / uploads.PICTURES).iterdir()] == ["a.png"]
    assert not (source.parent / "pets.zip").exists()


BAD = {
    "two files of vectors": ([File("v.npz", b""), File("w.npz", b"")], "one file of vectors"),
    "nothing": ([], "Nothing was uploaded"),
    "broken zip": ([File("x.zip", b"PK\x03\x04 broken")], "x.zip is not a readable zip"),
    "text called zip": ([File("x.zip", b"hello")], "x.zip is not a readable zip"),
    "empty zip": ([File("x.zip", packed({}))], "x.zip holds no pictures"),
    "zip of texts": ([File("x.zip", packed({"a.txt": b"words"}))], "x.zip holds no pictures"),
    "table alone": ([File("t.csv", b"path\na.png\n")], "together with"),
    "table without paths": ([File("t.csv", b"what,label\na.png,cat\n"), File("a.png", picture())], "no column of paths"),
    "table of missing pictures": ([File("t.csv", b"path\nz.png\n"), File("a.png", picture())], "None of the files"),
    "two archives": ([File("a.zip", packed({})), File("b.zip", packed({}))], "2 archives"),
    "two tables": ([File("a.csv", b"path\n"), File("b.csv", b"path\n"), File("a.png", picture())], "only one table"),
    "zip and pictures": ([File("a.zip", packed({})), File("a.png", picture())], "not both"),
    "vectors and pictures": ([File("v.npz", b""), File("a.png", picture())], "into one zip"),
    "side files only": ([File("notes.txt", b"words")], "is not a picture"),
    "a file that is a folder": (
        [File("t.csv", b"path\na.png\n"), File("t.zip", packed({"a.png": picture(), "t.csv/b.png": picture()}))],
        "twice",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_files_are_refused_in_words_and_leave_nothing(tmp_path: Path, case: str) -> None:
    files, words = BAD[case]
    with pytest.raises(CbmError) as refused:
        uploads.keep(tmp_path, files)
    assert words in str(refused.value)
    assert ".upload-" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert not (tmp_path / "uploads").exists() or not list((tmp_path / "uploads").iterdir())


def test_zip_bomb_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (64 * 2**20))
    with pytest.raises(NotFoundError, match="decompression bomb"):
        uploads.keep(tmp_path, [File("bomb.zip", buffer.getvalue())])


def test_killed_in_the_middle_leaves_nothing_under_the_final_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(uploads, "_examine", die)
    with pytest.raises(KeyboardInterrupt):
        uploads.keep(tmp_path, [File("a.png", picture())])
    assert list((tmp_path / "uploads").iterdir()) == []
    monkeypatch.undo()
    assert labels(uploads.keep(tmp_path, [File("a.png", picture())])) == {"a.png": None}
    assert not leftovers(tmp_path)


def test_demo_mode_keeps_nothing_but_reads_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "demo")
    with pytest.raises(NotAllowedError):
        uploads.keep(tmp_path, [File("a.png", picture())])
    assert uploads.read_single(File("a.png", picture())).mode == "RGB"
    assert list(tmp_path.iterdir()) == []


def test_single_file_that_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(InvalidInputError, match=r"cat\.jpg cannot be used: it is not a recognised picture"):
        uploads.read_single(File("cat.jpg", b"these are words, not pixels"))


def test_what_an_archive_unpacks_to_counts_for_the_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = {f"{shade}.bmp": bitmap(shade) for shade in range(4)}
    archive = squeezed(pictures)
    table = File("list.csv", ("path\n" + "\n".join(pictures)).encode())
    allowed = sum(map(len, pictures.values())) + len(archive)
    monkeypatch.setenv("CBM_MODE", "hosted")
    monkeypatch.setattr(modes, "_visitor_root", lambda: visitor)
    monkeypatch.setattr(modes, "put_address", lambda: None)
    monkeypatch.setattr(modes, "limits", lambda: dataclasses.replace(HOSTED, max_kept_bytes=allowed))
    visitor = visitors.enter(tmp_path, visitors.new_token())
    (visitor / "uploads" / "earlier").mkdir(parents=True)
    (visitor / "uploads" / "earlier" / "a.png").write_bytes(b"x" * len(archive) * 2)
    with pytest.raises(LimitError, match="unpacked"):
        uploads.keep(visitor, [table, File("pictures.zip", archive)])
    assert sorted(path.name for path in (visitor / "uploads").iterdir()) == ["earlier"]


def bitmap(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, 0, 0)).save(buffer, "BMP")
    return buffer.getvalue()


def squeezed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_vectors_and_bundles_that_unpack_to_more_than_is_kept_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visitors.enter(tmp_path, visitors.new_token())
    monkeypatch.setenv("CBM_MODE", "hosted")
    monkeypatch.setattr(modes, "_visitor_root", lambda: visitor)
    monkeypatch.setattr(modes, "put_address", lambda: None)
    monkeypatch.setattr(modes, "limits", lambda: dataclasses.replace(HOSTED, max_kept_bytes=100_000))
    vectors = io.BytesIO()
    np.savez_compressed(vectors, embeddings=np.zeros((100, 512), np.float32))
    with pytest.raises(LimitError):
        uploads.keep(visitor, [File("vectors.npz", vectors.getvalue())])
    with pytest.raises(LimitError):
        loading.keep_bundle(str(visitor), File("model.zip", squeezed({"model/model.safetensors": bytes(200_000)})))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="not a zip archive"):
        loading.keep_bundle(str(visitor), File("model.zip", b"something else"))  # type: ignore[arg-type]
    assert [path for path in visitor.rglob("*") if path.is_file() and path.suffix in (".npz", ".zip")] == []
    assert loading.keep_bundle(str(visitor), File("model.zip", squeezed({"a": b"b"}))).is_file()  # type: ignore[arg-type]
