"""Artefacts on disk, typed, written once, under ids that are digests of what made them."""

from cbm.workspace.artifacts import (
    Artifact,
    ConceptsArtifact,
    DictionaryArtifact,
    EmbeddingsArtifact,
    ModelArtifact,
    VocabularyArtifact,
)
from cbm.workspace.ids import ArtifactId
from cbm.workspace.rows import ChosenRows, RowSelection
from cbm.workspace.workspace import Draft, Workspace

__all__ = [
    "Artifact",
    "ArtifactId",
    "ChosenRows",
    "ConceptsArtifact",
    "DictionaryArtifact",
    "Draft",
    "EmbeddingsArtifact",
    "ModelArtifact",
    "RowSelection",
    "VocabularyArtifact",
    "Workspace",
]
