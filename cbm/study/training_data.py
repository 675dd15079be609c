"""What a head can be trained on: the concept tables and labelled embedding sets of a workspace that belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CorruptArtifactError, MismatchError
from cbm.names.concepts import ConceptTable
from cbm.study.image_sets import ImageSet
from cbm.workspace.workspace import Artifact


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


def fits(part: ImageSet, backbone: BackboneReference, space: str) -> bool:
    """Whether a set's vectors are of this backbone and space."""
    try:
        backbone.require_match(part.backbone, part.id)
    except MismatchError:
        return False
    return part.space == space


def trainable(sets: Sequence[ImageSet], concepts: ConceptsOption) -> list[ImageSet]:
    """The sets on which a head over these concepts can be trained: same backbone and space, at least two classes."""
    return [part for part in sets if len(part.classes) > 1 and fits(part, concepts.backbone, concepts.space)]


def testable(sets: Sequence[ImageSet], training: ImageSet) -> list[ImageSet]:
    """The other sets of the same backbone whose classes the training set knows."""
    known = set(training.classes)
    return [
        part
        for part in sets
        if part.id != training.id and part.classes and known.issuperset(part.classes) and fits(part, training.backbone, training.space)
    ]
