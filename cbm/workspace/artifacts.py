"""Finished artefacts: one frozen class for each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from cbm.core.errors import CorruptArtifactError, InvalidInputError
from cbm.workspace.figures import ConceptsFigures, DictionaryFigures, EmbeddingsFigures, ModelFigures, VocabularyFigures
from cbm.workspace.ids import ArtifactId
from cbm.workspace.requests import (
    KINDS,
    Discovery,
    Editing,
    Fitting,
    Kind,
    LoadedBundle,
    LoadedDictionary,
    Naming,
    OwnNames,
    Request,
    Training,
)
from cbm.workspace.rows import ChosenRows
from cbm.workspace.schema import read_record

RECORD = "artifact.json"
"""The file that makes a folder an artefact; written last."""


@dataclass(frozen=True)
class Artifact:
    """One finished folder of the workspace."""

    id: ArtifactId
    path: Path
    created: str
    made: Request[Any]
    """What it was asked for with."""
    metrics: Mapping[str, Any]
    """Everything that was measured, as it was recorded; `figures` has what is known of this kind."""
    libraries: Mapping[str, str]

    kind_name: ClassVar[Kind]

    @property
    def kind(self) -> str:
        return self.id.kind

    @property
    def parents(self) -> tuple[ArtifactId, ...]:
        """The artefacts that it was made from directly."""
        return self.made.parents

    @property
    def parameters(self) -> Mapping[str, Any]:
        """For people; programs ask `made`."""
        return self.made.described()

    def record(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {
            "kind": self.kind,
            "id": self.id,
            "path": str(self.path),
            "created": self.created,
            "parameters": self.parameters,
            "parents": self.parents,
            "made_from": self.made.named_parents(),
            "metrics": self.metrics,
            "libraries": self.libraries,
        }

    @staticmethod
    def read(folder: Path) -> Artifact:
        """The artefact in a folder, as the class of its kind.

        Raises:
            CorruptArtifactError: there is none, it is damaged, or it is of a version that this one does not know.
        """
        try:
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            made = read_record(record)
            of_kind = CLASSES[made.kind]
            return of_kind(ArtifactId(record["id"]), folder, record["created"], made, record["metrics"], record["libraries"])
        except CorruptArtifactError as error:
            raise CorruptArtifactError(f"{folder} cannot be opened. {error}") from error
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError, OSError, InvalidInputError) as error:
            raise CorruptArtifactError(f"{folder} is not a readable artefact ({error}); remove the folder and make it again.") from error


@dataclass(frozen=True)
class EmbeddingsArtifact(Artifact):
    """Vectors with what is known of their items; `cbm.embeddings.sets` opens it."""

    kind_name: ClassVar[Kind] = "embeddings"

    @property
    def figures(self) -> EmbeddingsFigures:
        return EmbeddingsFigures.read(self.metrics)


@dataclass(frozen=True)
class VocabularyArtifact(Artifact):
    """Candidate names with their text embeddings; `cbm.names.vocabulary` opens it."""

    kind_name: ClassVar[Kind] = "vocabulary"

    @property
    def figures(self) -> VocabularyFigures:
        return VocabularyFigures.read(self.metrics)

    @property
    def source(self) -> str | None:
        """The list's name, or its file's; None for one that no verb made."""
        return getattr(self.made, "source", None)

    @property
    def backbone(self) -> Mapping[str, str] | None:
        """The record of the backbone that the vectors belong to."""
        return getattr(self.made, "backbone", None)


@dataclass(frozen=True)
class DictionaryArtifact(Artifact):
    """A dictionary; `cbm.dictionaries.base` opens it."""

    kind_name: ClassVar[Kind] = "dictionary"

    @property
    def figures(self) -> DictionaryFigures:
        return DictionaryFigures.read(self.metrics)

    @property
    def discovery(self) -> Discovery | None:
        """How it was discovered; None for one that was not."""
        return self.made if isinstance(self.made, Discovery) else None

    @property
    def fitting(self) -> Fitting | None:
        """How its method learned it; None for one that was discovered."""
        return self.made if isinstance(self.made, Fitting) else None

    @property
    def made_for(self) -> Discovery | Fitting | LoadedDictionary | None:
        """What says which `space` and `backbone` the embeddings must come from; None where nothing does."""
        return self.made if isinstance(self.made, Discovery | Fitting | LoadedDictionary) else None

    @property
    def sets(self) -> tuple[ArtifactId, ...]:
        """The embedding sets that it was learnt from, or measured on where others trained it."""
        return self.discovery.sets if self.discovery else tuple(parent for parent in self.parents if parent.kind == "embeddings")


@dataclass(frozen=True)
class ConceptsArtifact(Artifact):
    """A dictionary's latents with their names; `cbm.names.concepts` opens it."""

    kind_name: ClassVar[Kind] = "concepts"

    @property
    def figures(self) -> ConceptsFigures:
        return ConceptsFigures.read(self.metrics)

    @property
    def naming(self) -> Naming | None:
        """How the names were found; None for a table that no verb made."""
        return self.made if isinstance(self.made, Naming) else None

    @property
    def dictionary(self) -> ArtifactId:
        return self.naming.dictionary if self.naming else _only(self, "dictionary")

    @property
    def vocabulary(self) -> ArtifactId | None:
        """None where the names do not come from a vocabulary."""
        return self.made.vocabulary if isinstance(self.made, Naming | OwnNames) else None

    @property
    def on(self) -> tuple[ArtifactId, ...]:
        """The embedding sets whose images fired the latents."""
        return self.naming.on if self.naming else tuple(parent for parent in self.parents if parent.kind == "embeddings")


@dataclass(frozen=True)
class ModelArtifact(Artifact):
    """A concept model; `cbm.model.load` opens it."""

    kind_name: ClassVar[Kind] = "model"

    @property
    def figures(self) -> ModelFigures:
        return ModelFigures.read(self.metrics)

    @property
    def concepts(self) -> ArtifactId | None:
        """The concepts that its head was trained on; None for an edited or loaded model."""
        return self.made.concepts if isinstance(self.made, Training) else None

    @property
    def training(self) -> ChosenRows | None:
        return self.made.training if isinstance(self.made, Training) else None

    @property
    def test(self) -> ChosenRows | None:
        return self.made.test if isinstance(self.made, Training) else None

    @property
    def measured_on(self) -> ChosenRows | None:
        """The rows on which an edit's effect, or a loaded model, was measured."""
        return self.made.measured_on if isinstance(self.made, Editing | LoadedBundle) else None

    @property
    def edited_from(self) -> ArtifactId | None:
        """The model that was edited; None for one that was not."""
        return self.made.edited_from if isinstance(self.made, Editing) else None

    @property
    def is_loaded(self) -> bool:
        """Whether it came out of an exported bundle."""
        return isinstance(self.made, LoadedBundle)


def _only(artifact: Artifact, kind: Kind) -> ArtifactId:
    found = [parent for parent in artifact.parents if parent.kind == kind]
    if len(found) != 1:
        raise CorruptArtifactError(f"{artifact.id} was made from {len(found)} artefacts of kind {kind}, not one; make it again.")
    return found[0]


CLASSES: dict[str, type[Artifact]] = {
    of_kind.kind_name: of_kind for of_kind in (EmbeddingsArtifact, VocabularyArtifact, DictionaryArtifact, ConceptsArtifact, ModelArtifact)
}
assert tuple(CLASSES) == KINDS
