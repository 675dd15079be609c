"""Read one picture again from its URI, for galleries, explanations and reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cbm.core.errors import NotFoundError, RejectedImageError

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_SCENE_SIZE = 224
_LARGEST_SCENE = 1024


def read_picture(uri: str, size: int | None = None) -> Image.Image:
    """The RGB picture that a record's `uri` names.

    Args:
        uri: a file's path, "archive.zip::member" (zip or tar), or "scene:…" of the known-answer world.
        size: the longer side is scaled down to this many pixels; smaller pictures are returned as they are. Scenes are drawn at this size.

    Raises:
        NotFoundError: the file, archive or member is gone; the message says which.
        RejectedImageError: it is there and cannot be decoded.
        InvalidInputError: a malformed scene address, or a damaged archive.
    """
    if uri.startswith("scene:"):
        from cbm.images.scenes import read_scene

        return read_scene(uri).draw(min(size or DEFAULT_SCENE_SIZE, _LARGEST_SCENE))
    from cbm.images.decode import decode

    picture = decode(read_bytes(uri), target_size=size)
    if size is not None:
        from PIL import Image

        picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture


def read_bytes(uri: str) -> bytes:
    """The file behind a record's `uri`, undecoded.

    Raises:
        NotFoundError, RejectedImageError, InvalidInputError: as `read_picture`.
    """
    if uri.startswith("scene:"):
        from cbm.images.scene_source import scene_file
        from cbm.images.scenes import read_scene

        return scene_file(read_scene(uri))
    from cbm.images.folder import read_file

    path = _file(uri)
    if path is not None:
        return read_file(path)
    archive, member = _split(uri)
    if archive is None:
        missing, _, inside = uri.partition("::")
        what = f"The archive {missing}" if inside else f"The picture {missing}"
        raise NotFoundError(f"{what} is no longer there. Put it back, or embed the images again from their new location.")
    from cbm.images.archive import read_member

    try:
        return read_member(archive, member)
    except OSError as error:
        raise RejectedImageError(f"{archive} cannot be read ({error.strerror or error})") from error


def _file(uri: str) -> Path | None:
    try:
        path = Path(uri)
        return path if path.exists() else None
    except (OSError, ValueError):
        # A name that is too long or holds a zero byte names nothing.
        return None


def _split(uri: str) -> tuple[Path | None, str]:
    """The archive that exists, and the member; both may hold "::" themselves."""
    position = uri.find("::")
    while position >= 0:
        path = _file(uri[:position])
        if path is not None and path.is_file():
            return path, uri[position + 2 :]
        position = uri.find("::", position + 2)
    return None, ""
