"""Lists of names: reading them from files, and deciding which spellings are the same name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.core.paths import DATA

LONGEST_NAME = 200
"""Characters; CLIP reads 77 tokens, and a longer line is a paragraph that got into the list by mistake."""
SHIPPED = ("english", "attributes", "scenes")

_SEPARATORS = re.compile(r"[\s_\-‐-―]+")


def same_name_key(name: str) -> str:
    """What two spellings of one name have in common: letter case, spaces, hyphens, underscores and Unicode form do not matter."""
    return _SEPARATORS.sub(" ", unicodedata.normalize("NFKC", name)).strip().casefold()


def distinct_names(lines: Iterable[str]) -> tuple[str, ...]:
    """The names of `lines` in their order: trimmed, without blanks, `#` comments and repetitions (by `same_name_key`).

    Raises:
        InvalidInputError: a name is longer than `LONGEST_NAME`, or has control characters.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name = " ".join(line.split())
        if not name or name.startswith("#"):
            continue
        if len(name) > LONGEST_NAME:
            raise InvalidInputError(
                f"Line {number} has {len(name)} characters ({name[:40]!r}…); a name has at most {LONGEST_NAME}. Put one name per line."
            )
        if any(unicodedata.category(character) == "Cc" for character in name):
            raise InvalidInputError(f"Line {number} ({name[:40]!r}) has control characters; save the list as plain UTF-8 text.")
        found.setdefault(same_name_key(name), name)
    return tuple(found.values())


def read_names(file: Path) -> tuple[str, ...]:
    """The names in a UTF-8 text file, one per line; a byte-order mark, blank lines, comments and repetitions are skipped.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is not UTF-8 text, has an overlong line, or no name at all.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(
            f"There is no vocabulary file {file}. Give a .txt with one name per line, an .npz, or {_shipped_list()}."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8, one name per line.") from error
    try:
        # Not splitlines(): it also breaks lines at form feeds and other separators, which would hide that a file is not a word list.
        names = distinct_names(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    except InvalidInputError as error:
        raise InvalidInputError(f"{file}: {error}") from error
    if not names:
        raise InvalidInputError(f"{file} has no names; write one name per line.")
    return names


def load_names(source: str | Path) -> tuple[str, ...]:
    """The names of a list that ships (`english`, `attributes`, `scenes`) or of a .txt file.

    Raises:
        NotFoundError: neither a list that ships nor a file.
        InvalidInputError: the file is not a list of names.
    """
    if source == "scenes":
        from cbm.images.scenes import scene_vocabulary

        return distinct_names(scene_vocabulary())
    if source in SHIPPED:
        return read_names(DATA / "vocabularies" / f"{source}.txt")
    return read_names(Path(source))


def _shipped_list() -> str:
    return ", ".join(repr(name) for name in SHIPPED)
