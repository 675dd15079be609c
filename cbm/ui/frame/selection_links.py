"""Selections as they are in a URL: a compressed set of bits, checked on the way in. No Streamlit in here."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from cbm.core.errors import InvalidInputError

Kind: TypeAlias = Literal["concepts", "images"]

LONGEST_NAME = 60
"""Characters of a selection's name."""
LARGEST_MEMBER = 2_000_000
"""Ids from here on are refused: an address must not make the server reserve memory at will."""
LONGEST_LINK = 8_000
"""Characters of one selection in a URL; browsers and proxies cut longer addresses. Larger selections stay in the session."""
_LETTERS: dict[Kind, str] = {"concepts": "c", "images": "i"}


@dataclass(frozen=True)
class Selection:
    """A named set of concepts or images of one model."""

    name: str
    kind: Kind
    members: tuple[int, ...]
    """Ids, ascending and distinct."""

    @classmethod
    def of(cls, kind: Kind, members: object, name: str | None = None) -> Selection:
        """A selection of any iterable of ids, in any order.

        Raises:
            InvalidInputError: an id is negative or beyond `LARGEST_MEMBER`.
        """
        ids = np.unique(np.fromiter(members, dtype=np.int64))  # type: ignore[call-overload]
        if len(ids) and not (ids[0] >= 0 and ids[-1] < LARGEST_MEMBER):
            raise InvalidInputError(
                f"A selection of {kind} has the id {ids[-1] if ids[0] >= 0 else ids[0]}, which cannot be. Select again."
            )
        return cls(tidy_name(name), kind, tuple(ids.tolist()))

    def __len__(self) -> int:
        return len(self.members)


def tidy_name(name: str | None) -> str:
    """A name without line breaks and control characters, not too long; "Selection" where nothing is left of it."""
    printable = "".join(character if character.isprintable() else " " for character in name or "")
    return " ".join(printable.split())[:LONGEST_NAME] or "Selection"


def encode_selection(selection: Selection, *, narrowed: bool = True) -> str | None:
    """A selection as letters, digits, "-" and "_"; None where it would be too long for an address.

    The first letter says the kind, in upper case where the visitor keeps the selection but looks at everything.
    """
    name = selection.name.encode()
    bits = np.zeros(selection.members[-1] + 1 if selection.members else 0, bool)
    bits[list(selection.members)] = True
    packed = zlib.compress(bytes([len(name)]) + name + np.packbits(bits, bitorder="little").tobytes(), 9)
    letter = _LETTERS[selection.kind]
    text = (letter if narrowed else letter.upper()) + base64.urlsafe_b64encode(packed).decode().rstrip("=")
    return text if len(text) <= LONGEST_LINK else None


def decode_selection(text: str) -> tuple[Selection, bool]:
    """The selection that `encode_selection` wrote, and whether it narrows what is shown.

    Raises:
        InvalidInputError: the text was cut or changed; nothing of it is used.
    """
    kind = next((kind for kind, letter in _LETTERS.items() if text[:1].lower() == letter), None)
    broken = InvalidInputError("The selection in this link cannot be read: the link was cut off or changed. Ask for the full link.")
    if kind is None or len(text) > LONGEST_LINK or not text.isascii():
        raise broken
    try:
        packed = base64.b64decode(text[1:] + "=" * (-len(text[1:]) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, LARGEST_MEMBER // 8 + 256)
        if not unpacker.eof or unpacker.unused_data or not data or len(data) < 1 + data[0]:
            raise broken
        name = data[1 : 1 + data[0]].decode()
    except (binascii.Error, zlib.error, ValueError) as error:
        raise broken from error
    members = np.flatnonzero(np.unpackbits(np.frombuffer(data[1 + data[0] :], np.uint8), bitorder="little"))
    if not len(members) or members[-1] >= LARGEST_MEMBER:
        raise broken
    return Selection(tidy_name(name), kind, tuple(members.tolist())), text[0].islower()
