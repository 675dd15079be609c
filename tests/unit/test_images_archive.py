"""Archives: read as streams, bounded in every direction, and never trusted with a path."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_corpus import corpus, damage

from cbm.core.errors import CbmError, InvalidInputError, NotFoundError
from cbm.images.archive import ArchiveLimits, open_archive, read_member
from cbm.images.decode import RejectedImageError
from cbm.images.records import ImageRecord, ImageSource, Rejected
from cbm.images.sources import open_source

FILES = {
    "pets/train/cat/1.png": "png",
    "pets/train/cat/2.jpg": "jpeg",
    "pets/train/dog/3.webp": "webp",
    "pets/test/cat/4.gif": "gif",
}
SUFFIXES = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"]


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    kind = {"tgz": "gz", "tar": ""}.get(path.name.rsplit(".", 1)[1], path.name.rsplit(".", 1)[1])
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pets(path: Path, **more: bytes) -> Path:
    return pack(path, {name: corpus()[kind] for name, kind in FILES.items()} | more)


def rejections(source: ImageSource) -> dict[str, str]:
    return {data.item: data.reason for _, data in source if isinstance(data, Rejected)}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_splits_and_bytes_come_out_of_every_kind_of_archive(tmp_path: Path, suffix: str) -> None:
    path = pets(tmp_path / f"a{suffix}")
    source = open_source(path)
    expected = [ImageRecord(name, f"{path}::{name}", name.split("/")[2], None, name.split("/")[1]) for name in FILES]
    assert list(source.records()) == expected
    for _ in range(2):
        assert list(source) == [(record, corpus()[FILES[record.item]]) for record in expected]
    assert (source.kind, source.name, len(source)) == ("archive", path.name, 4)
    assert isinstance(source, ImageSource)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_member_can_be_read_again_by_name(tmp_path: Path, suffix: str) -> None:
    path = pets(tmp_path / f"a{suffix}", **{"note.dat": b"no picture"})
    for name, kind in reversed(FILES.items()):
        assert read_member(path, name) == corpus()[kind]
    with pytest.raises(NotFoundError, match="no member 'pets/5"):
        read_member(path, "pets/5.png")
    with pytest.raises(RejectedImageError):
        read_member(path, "note.dat")


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_names_that_lead_out_are_rejected_and_side_files_ignored(tmp_path: Path, suffix: str) -> None:
    bad = ["../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "a\\..\\..\\evil.png"]
    path = pets(tmp_path / f"a{suffix}", **{name: corpus()["png"] for name in [*bad, "__MACOSX/x.png", ".x/1.png", "pets/labels.csv"]})
    source = open_source(path)
    found = rejections(source)
    assert len(found) == len(bad)
    assert all("leaves the archive" in reason for reason in found.values())
    assert sum(isinstance(data, bytes) for _, data in source) == 4
    assert len(source) == len(list(source.records())) == len(list(source))


def test_links_and_devices_in_a_tar_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for number, kind in enumerate([tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]):
            info = tarfile.TarInfo(f"{number}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.png")
        info.size = len(corpus()["png"])
        archive.addfile(info, io.BytesIO(corpus()["png"]))
    assert set(rejections(open_source(path)).values()) == {"it is a link or a device, not a file"}
    assert len(rejections(open_source(path))) == 4


def test_links_encryption_and_strange_compression_in_a_zip_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("lzma.png", corpus()["png"], zipfile.ZIP_LZMA)
        archive.writestr("secret.png", corpus()["png"])
        archive.writestr("good.png", corpus()["png"])
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(b"secret.png"))
    data[directory + 8] |= 1
    path.write_bytes(data)
    found = rejections(open_source(path))
    assert found.keys() == {"link.png", "lzma.png", "secret.png"}
    assert "link" in found["link.png"]
    assert "compression method" in found["lzma.png"]
    assert "encrypted" in found["secret.png"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz"])
def test_the_same_name_twice_is_rejected_the_second_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.png", corpus()["png"])
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("1.png", corpus()["png-la"])
    else:
        with tarfile.open(path, f"w:{'gz' if suffix.endswith('gz') else ''}") as archive:
            for data in (corpus()["png"], corpus()["png-la"]):
                info = tarfile.TarInfo("1.png")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    assert list(rejections(open_source(path)).values()) == ["the archive holds this name twice"]


def test_members_over_the_limits_are_rejected_and_archives_over_the_limits_refused(tmp_path: Path) -> None:
    for suffix in (".zip", ".tar", ".tar.gz"):
        path = pets(tmp_path / f"a{suffix}", **{"big.bmp": corpus()["bmp"] + bytes(200_000)})
        assert "MiB" in rejections(open_archive(path, ArchiveLimits(member_bytes=100_000)))["big.bmp"]
        with pytest.raises(InvalidInputError, match="more than 3"):
            open_archive(path, ArchiveLimits(members=3))
        with pytest.raises(InvalidInputError, match="bomb"):
            open_archive(path, ArchiveLimits(total_bytes=50_000))


def test_bombs_are_recognised_before_they_fill_memory(tmp_path: Path) -> None:
    bomb = b"BM" + bytes(20_000_000)
    zipped = pack(tmp_path / "a.zip", {"bomb.bmp": bomb, "good.png": corpus()["png"]})
    tarred = [pack(tmp_path / f"a.tar{suffix}", {"good.png": corpus()["png"], "bomb.bmp": bomb}) for suffix in (".gz", ".bz2", ".xz")]
    del bomb
    tracemalloc.start()
    try:
        assert "decompression bomb" in rejections(open_source(zipped))["bomb.bmp"]
        for path in tarred:
            with pytest.raises(InvalidInputError, match="decompression bomb"):
                open_source(path)
        assert tracemalloc.get_traced_memory()[1] < 19_000_000
    finally:
        tracemalloc.stop()


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    """The construction of D. Fifield (2019): many directory entries share one run of packed bytes."""
    path = pack(tmp_path / "a.zip", {"1.png": corpus()["png-rgba"]})
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = b"".join(data[start:end].replace(b"1.png", b"%d.png" % number) for number in range(9))
    closing = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 9, 9, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + closing)
    with pytest.raises(InvalidInputError, match="overlap"):
        open_source(path)


def test_a_member_whose_length_or_checksum_lies_is_rejected(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"1.bmp": corpus()["bmp"], "2.png": corpus()["png"]})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 100)
    path.write_bytes(data)
    source = open_source(path)
    assert "damaged" in rejections(source)["1.bmp"]
    assert sum(isinstance(found, bytes) for _, found in source) == 1


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_tar_that_breaks_off_gives_what_it_has_and_says_so(tmp_path: Path, suffix: str) -> None:
    generator = np.random.default_rng(3)
    body = corpus()["bmp"] + generator.bytes(500_000)
    path = pack(tmp_path / f"a{suffix}", {f"{number}.bmp": body[: 150_000 + number * 60_000] for number in range(6)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    source = open_source(path)
    pairs = list(source)
    assert [record for record, _ in pairs] == [ImageRecord(e.item, e.uri) if isinstance(e, Rejected) else e for e in source.records()]
    assert sum(isinstance(data, bytes) for _, data in pairs) >= 2
    assert any("breaks off" in reason or "damaged" in reason for reason in rejections(source).values())


def test_a_damaged_header_inside_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    path = pets(tmp_path / "a.tar")
    data = bytearray(path.read_bytes())
    data[data.index(b"pets/train/dog") + 100] ^= 0xFF
    path.write_bytes(data)
    assert "ends after 2 files" in rejections(open_source(path))["a.tar"]


def test_what_is_no_archive_or_empty_is_refused(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        for data in (b"", b"no archive at all", bytes(100)):
            path.write_bytes(data)
            with pytest.raises((InvalidInputError, NotFoundError)):
                open_source(path)
        pack(path, {"readme.txt": b"hello"})
        with pytest.raises(NotFoundError, match="no pictures"):
            open_source(path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_archives_give_pictures_or_reasons_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = pets(tmp_path / f"a{suffix}")
    good = path.read_bytes()
    generator = np.random.default_rng(5)
    opened = refused = 0
    for _ in range(150):
        path.write_bytes(damage(good, good[::-1], generator))
        try:
            source = open_source(path)
        except CbmError:
            refused += 1
            continue
        opened += 1
        entries = list(source.records())
        pairs = list(source)
        assert len(pairs) == len(entries) == len(source)
        assert all(data.reason if isinstance(data, Rejected) else data for _, data in pairs)
        for entry in entries:
            if isinstance(entry, ImageRecord):
                try:
                    read_member(path, entry.item)
                except CbmError:
                    continue
    assert opened
    assert refused


def test_memory_stays_flat_over_a_large_archive(tmp_path: Path) -> None:
    body = corpus()["bmp"] + np.random.default_rng(1).bytes(200_000)
    for suffix in (".zip", ".tar"):
        source = open_source(pack(tmp_path / f"a{suffix}", {f"{number}.bmp": body for number in range(30)}))
        tracemalloc.start()
        try:
            assert sum(isinstance(data, bytes) for _, data in source) == 30
            assert tracemalloc.get_traced_memory()[1] < 2_000_000
        finally:
            tracemalloc.stop()
