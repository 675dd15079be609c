"""What server and client agree on: limits, and arrays as bytes."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import InvalidInputError

ARRAYS = "application/octet-stream"
"""Ask for this (Accept) to get an array instead of JSON."""
REFERENCE_HEADER = "X-Backbone-Fingerprint"


@dataclass(frozen=True)
class Limits:
    """How much one request may hold, and how many may be under way."""

    images: int = 256
    prompts: int = 4096
    """Texts times templates."""
    characters: int = 2000
    """Of one text or template; the models cut after 77 tokens anyhow."""
    body_bytes: int = 64 * 2**20
    requests: int = 16
    """More at once are told to come again."""


@dataclass(frozen=True)
class RejectedItem:
    """One image of a request that could not be used."""

    index: int
    reason: str


@dataclass(frozen=True)
class EncodedImages:
    """Embeddings in the order of the request; rows of rejected images are NaN."""

    embeddings: Float32[np.ndarray, "images dim"]
    rejected: tuple[RejectedItem, ...] = ()


def pack(encoded: EncodedImages) -> bytes:
    """An .npy array, and behind it the rejected list as JSON; `numpy.load` reads the array and stops there."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(encoded.embeddings, np.float32), allow_pickle=False)
    buffer.write(json.dumps({"rejected": [asdict(item) for item in encoded.rejected]}).encode())
    return buffer.getvalue()


def unpack(body: bytes) -> EncodedImages:
    """Read what `pack` wrote.

    Raises:
        InvalidInputError: something else.
    """
    buffer = io.BytesIO(body)
    try:
        embeddings = np.load(buffer, allow_pickle=False)
        items = json.loads(buffer.read())["rejected"]
        rejected = tuple(RejectedItem(int(item["index"]), str(item["reason"])) for item in items)
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise InvalidInputError(f"The encoder's answer cannot be read ({error}); is the URL that of `cbm serve`?") from error
    return EncodedImages(embeddings, rejected)


def check_prompts(texts: Sequence[str], templates: Sequence[str], limits: Limits) -> None:
    """Raises InvalidInputError where texts and templates are not lists of text, or too long."""
    for name, values in (("texts", texts), ("templates", templates)):
        if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
            raise InvalidInputError(f"{name} must be a list of texts.")
        if any(len(value) > limits.characters for value in values):
            raise InvalidInputError(f"One of the {name} has more than {limits.characters:,} characters; shorten it.")
