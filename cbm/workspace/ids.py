"""Ids of artefacts: a kind, then sixteen hexadecimal digits. The one place where they are taken apart, shortened and looked up."""

from __future__ import annotations

from collections.abc import Iterable

_BETWEEN = "-"
_SHORT = 8


class ArtifactId(str):
    """`model-0123456789abcdef`: the digits are a digest of what made it. A text, so JSON and links hold it as it is.

    >>> ArtifactId("model-0123456789abcdef").kind, ArtifactId("model-0123456789abcdef").short
    ('model', '01234567')
    """

    __slots__ = ()

    @property
    def kind(self) -> str:
        """`embeddings`, `vocabulary`, `dictionary`, `concepts` or `model`."""
        return self.partition(_BETWEEN)[0]

    @property
    def digits(self) -> str:
        return self.partition(_BETWEEN)[2]

    @property
    def short(self) -> str:
        """What links and labels show; `matching` finds the id again."""
        return self.digits[:_SHORT]

    def fits(self, asked: str) -> bool:
        """Whether the id, or its digits, start with what somebody asked for; nothing fits an empty text."""
        return bool(asked) and (self.startswith(asked) or self.digits.startswith(asked))


def short(identifier: str) -> str:
    """`ArtifactId.short` of an id that is held as plain text."""
    return ArtifactId(identifier).short


def matching(asked: str, identifiers: Iterable[str]) -> list[str]:
    """Of `identifiers` those that somebody may mean by `asked`: that one alone where it is an id, else all that begin so.

    >>> matching("01", ["model-0123", "model-0199", "model-23"])
    ['model-0123', 'model-0199']
    """
    fitting = [identifier for identifier in identifiers if ArtifactId(identifier).fits(asked)]
    return [asked] if asked in fitting else fitting


def new_id(kind: str, digest: str) -> ArtifactId:
    return ArtifactId(f"{kind}{_BETWEEN}{digest[:16]}")
