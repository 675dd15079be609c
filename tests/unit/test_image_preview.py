"""What a look at a source says before anything is encoded."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from PIL import Image

from cbm.images import preview


def png(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def test_preview_finds_files_that_are_no_pictures_in_folder_and_zip(tmp_path: Path) -> None:
    members = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/3.png": png(3), "dog/text.jpg": b"words", "dog/cut.png": png(4)[:40]}
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in members.items():
            (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "pets" / name).write_bytes(data)
            archive.writestr(name, data)
    for source in ("pets", "pets.zip"):
        seen = preview.look_at(str(tmp_path / source))
        assert seen.count == 3
        assert dict(seen.classes) == {"cat": 2, "dog": 1}
        assert {name for name, _ in seen.rejected} == {"dog/text.jpg", "dog/cut.png"}
        assert "not a recognised picture" in dict(seen.rejected)["dog/text.jpg"]
        assert seen.labels == ("cat", "dog", "cat")
        assert seen.unlabelled == 0


def test_preview_of_scenes_knows_splits_and_concepts() -> None:
    seen = preview.look_at("scenes:classes?count=40&seed=0&split=train")
    assert seen.count == 40
    assert seen.splits == {"train": 40}
    assert "striped" in seen.concepts or len(seen.concepts) > 10
    assert len(seen.uris) == preview.SHOWN
    assert len(set(seen.labels[:10])) == 10
