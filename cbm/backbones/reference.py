"""What an artefact remembers of the backbone that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cbm.core.errors import MismatchError

FOREIGN = "foreign:"


@dataclass(frozen=True)
class BackboneReference:
    """Names a backbone without its weights.

    Two kinds exist. A backbone whose weights were loaded here has a fingerprint of weights, preprocessing and architecture.
    Vectors that somebody else computed come without weights; their reference is *foreign* and its fingerprint only repeats the
    architecture and the pretrained tag that the user stated.
    """

    architecture: str
    """An open_clip architecture, `demo`, or the name of a configuration file."""
    pretrained: str
    """An open_clip tag, or the file name of a checkpoint (its folder does not matter)."""
    fingerprint: str
    """The first 32 hexadecimal digits of the SHA-256, or `foreign:<architecture>/<pretrained>`."""

    @classmethod
    def foreign(cls, architecture: str, pretrained: str) -> BackboneReference:
        """The reference of vectors that were computed elsewhere by what the user says was this backbone."""
        architecture, tag = architecture.replace("/", "-"), _clean_tag(pretrained)
        return cls(architecture, tag, f"{FOREIGN}{architecture}/{tag}")

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> BackboneReference:
        return cls(str(record["architecture"]), str(record["pretrained"]), str(record["fingerprint"]))

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @property
    def is_foreign(self) -> bool:
        return self.fingerprint.startswith(FOREIGN)

    def matches(self, other: BackboneReference) -> bool:
        """Whether vectors of both live in one space.

        Fingerprints decide where both were computed here. Where either is foreign there is nothing better than the stated
        names: architecture and pretrained tag must then both be equal (tags as open_clip compares them: case and `-` or `_`
        do not matter).
        """
        if not self.is_foreign and not other.is_foreign:
            return self.fingerprint == other.fingerprint
        return self.architecture.replace("/", "-") == other.architecture.replace("/", "-") and (
            _clean_tag(self.pretrained) == _clean_tag(other.pretrained)
        )

    def require_match(self, other: BackboneReference, what: str) -> None:
        """Refuse to join vectors of two backbones.

        Args:
            what: what is being joined, for the message, such as "the vocabulary and the embeddings".

        Raises:
            MismatchError: the references do not match.
        """
        if not self.matches(other):
            raise MismatchError(
                f"Different backbones made {what}: {self} and {other}. Make one of them again with the other's backbone; "
                "for imported vectors, state the same --backbone and --pretrained."
            )

    def __str__(self) -> str:
        kind = "stated, no weights" if self.is_foreign else self.fingerprint[:8]
        return f"{self.architecture}/{self.pretrained} ({kind})"


def _clean_tag(tag: str) -> str:
    return tag.lower().replace("-", "_")
