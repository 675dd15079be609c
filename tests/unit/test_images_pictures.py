"""A picture is found again from its URI alone, and what is gone is said to be gone."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from image_corpus import corpus, noise

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.decode import RejectedImageError, decode
from cbm.images.pictures import read_bytes, read_picture
from cbm.images.records import ImageSource, Rejected
from cbm.images.scenes import CONCEPTS, Scenes, read_scene
from cbm.images.sources import open_source


def test_every_uri_of_every_source_reads_the_same_picture_again(tmp_path: Path) -> None:
    (tmp_path / "odd::name").mkdir()
    (tmp_path / "odd::name" / "a::b.png").write_bytes(corpus()["png"])
    with zipfile.ZipFile(tmp_path / "z::1.zip", "w") as archive:
        archive.write(tmp_path / "odd::name" / "a::b.png", "in::side/1.png")
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "odd::name", "x")
    (tmp_path / "t.csv").write_text("path\nodd::name/a::b.png\n")
    for name in ("odd::name", "z::1.zip", "t.tar.gz", "t.csv"):
        ((record, data),) = open_source(tmp_path / name)
        assert read_bytes(record.uri) == data
        np.testing.assert_array_equal(np.asarray(read_picture(record.uri)), noise(3))


def test_size_bounds_the_longer_side_and_never_enlarges(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(corpus()["jpeg"])
    assert read_picture(str(tmp_path / "1.jpg")).size == (53, 37)
    assert read_picture(str(tmp_path / "1.jpg"), 20).size == (20, 14)
    assert read_picture(str(tmp_path / "1.jpg"), 500).size == (53, 37)


def test_what_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"picture .*gone\.png is no longer there"):
        read_picture(str(tmp_path / "gone.png"))
    with pytest.raises(NotFoundError, match=r"archive .*gone\.zip is no longer there"):
        read_picture(f"{tmp_path}/gone.zip::1.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", corpus()["png"])
    with pytest.raises(NotFoundError, match=r"no member '2\.png'"):
        read_picture(f"{tmp_path}/a.zip::2.png")
    for uri in ("", "x" * 5000, "bad\x00name", "::", "a::b::c"):
        with pytest.raises((NotFoundError, RejectedImageError)):
            read_picture(uri)
    with pytest.raises(RejectedImageError):
        read_picture(str(tmp_path))


def test_an_archive_that_was_packed_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for kind in ("png", "png-rgba"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("1.png", corpus()[kind])
        assert read_bytes(f"{path}::1.png") == corpus()[kind]


def test_scenes_are_a_source_that_knows_its_truth() -> None:
    source = open_source("scenes:shortcut?count=12&seed=3&split=test")
    scenes = Scenes("shortcut", 12, 3, "test")
    assert isinstance(source, ImageSource)
    assert source.concept_names == tuple(concept.name for concept in CONCEPTS)
    assert len(source) == 12
    for index, (record, data) in enumerate(source):
        assert not isinstance(data, Rejected)
        assert record.uri == record.item == scenes.uris[index]
        assert record.label == scenes.class_names[scenes.labels[index]]
        assert record.group == scenes.group_names[scenes.groups[index]]
        assert record.split == "test"
        assert list(record.concepts.values()) == scenes.truth_matrix[index].tolist()
        picture = decode(data)
        np.testing.assert_array_equal(np.asarray(picture), scenes[index].pixels(picture.width))
        assert read_bytes(record.uri) == data
    assert [record for record, _ in source] == list(source.records())
    assert getattr(source, "class_names", None) == scenes.class_names


def test_free_scenes_have_no_labels_and_scenes_are_drawn_at_the_size_asked() -> None:
    record = next(iter(open_source("scenes:free?count=2").records()))
    assert (getattr(record, "label", ""), getattr(record, "group", "")) == (None, None)
    picture = read_picture(record.uri, 40)
    np.testing.assert_array_equal(np.asarray(picture), read_scene(record.uri).pixels(40))
    assert read_picture(record.uri, 100_000).width <= 1024
    with pytest.raises(InvalidInputError, match="scene"):
        read_picture("scene:nothing")
    with pytest.raises(InvalidInputError, match="no option"):
        open_source("scenes:free?colour=red")
