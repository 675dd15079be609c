"""What a head can be trained on: the concept tables and labelled embedding sets of a workspace that belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CorruptArtifactError, MismatchError
from cbm.embeddings.sets import set_title
from cbm.names.concepts import ConceptTable
from cbm.workspace.workspace import Artifact


@dataclass(frozen=True)
class SetOption:
    """A labelled embedding set."""

    id: str
    name: str
    count: int
    classes: tuple[str, ...]
    backbone: BackboneReference
    space: str

    @property
    def title(self) -> str:
        labels = f"{len(self.classes):,} classes" if self.classes else "no labels"
        return f"{set_title(self.name)} ({self.count:,} images, {labels})"


@dataclass(frozen=True)
class ConceptsOption:
    """A table of named concepts."""

    id: str
    size: int
    named: int
    backbone: BackboneReference
    space: str
    vocabulary: str
    created: str

    @property
    def title(self) -> str:
        return f"{self.size:,} concepts, {self.named:,} named from {self.vocabulary} ({self.created[:10]})"


def set_option(artifact: Artifact) -> SetOption:
    """What an embedding set says of itself, without its vectors.

    Raises:
        CorruptArtifactError: its record is missing or malformed.
    """
    try:
        record: dict[str, Any] = json.loads((artifact.path / "set.json").read_text(encoding="utf-8"))
        return SetOption(
            artifact.id,
            str(record["name"]),
            int(artifact.metrics["count"]),
            tuple(map(str, record["classes"])),
            BackboneReference.from_dict(record["backbone"]),
            str(record["space"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"{artifact.path} is no readable embedding set ({error}); make it again.") from error


def concepts_option(artifact: Artifact) -> ConceptsOption:
    """What a concept table says of itself.

    Raises:
        CorruptArtifactError: it does not say which backbone it belongs to.
    """
    table = ConceptTable.load(artifact.path)
    details = table.details
    if "backbone" not in details or "space" not in details:
        raise CorruptArtifactError(f"The concepts {artifact.id} do not say which backbone they belong to; name the dictionary again.")
    return ConceptsOption(
        artifact.id,
        len(table),
        int(artifact.metrics.get("named", table.named.sum())),
        BackboneReference.from_dict(details["backbone"]),
        str(details["space"]),
        str(details.get("vocabulary", "no vocabulary")),
        artifact.created,
    )


def fits(part: SetOption, backbone: BackboneReference, space: str) -> bool:
    """Whether a set's vectors are of this backbone and space."""
    try:
        backbone.require_match(part.backbone, part.id)
    except MismatchError:
        return False
    return part.space == space


def trainable(sets: Sequence[SetOption], concepts: ConceptsOption) -> list[SetOption]:
    """The sets on which a head over these concepts can be trained: same backbone and space, at least two classes."""
    return [part for part in sets if len(part.classes) > 1 and fits(part, concepts.backbone, concepts.space)]


def testable(sets: Sequence[SetOption], training: SetOption) -> list[SetOption]:
    """The other sets of the same backbone whose classes the training set knows."""
    known = set(training.classes)
    return [
        part
        for part in sets
        if part.id != training.id and part.classes and known.issuperset(part.classes) and fits(part, training.backbone, training.space)
    ]
