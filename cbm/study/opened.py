"""Concept models, opened from the workspace or from a bundle's folder, with the images they were tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cbm.backbones.architectures import DEMO
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import NotFoundError
from cbm.editing.recipe import Recipe
from cbm.embeddings.sets import EmbeddingSet, require_space
from cbm.model.concept_model import ConceptModel
from cbm.study.held_out import Rows, find_rows
from cbm.workspace.artifacts import ModelArtifact
from cbm.workspace.ids import ArtifactId
from cbm.workspace.requests import Editing
from cbm.workspace.rows import AllRows, ChosenRows
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from cbm.backbones.backbone import Backbone


@dataclass(frozen=True)
class OpenedModel:
    """A model and where it came from."""

    model: ConceptModel
    artifact: ModelArtifact | None
    """None for a bundle outside the workspace."""

    @property
    def training(self) -> ChosenRows | None:
        """The images it was trained on, as far as it remembers."""
        return remembered_rows(self.model, "training")

    @property
    def test(self) -> ChosenRows | None:
        """The images it was tested on, as far as it remembers."""
        return remembered_rows(self.model, "test")

    def has_test_rows(self, workspace: Workspace) -> bool:
        return self.test is not None and workspace.has(self.test.embeddings)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """What was recorded when the model was made."""
        recorded: Mapping[str, Any] = self.model.method.get("metrics", {}) if self.artifact is None else self.artifact.metrics
        return recorded

    @property
    def linear_probe(self) -> float | None:
        """Accuracy of a linear probe on the images that the model was tested on, where it was measured on them."""
        return None if self.metrics.get("measured_elsewhere") else self.metrics.get("linear_probe")

    def linear_probe_on(self, embeddings: str) -> float | None:
        """The same, where those images are all labelled ones of this set."""
        tested = self.test
        whole = tested is not None and tested.embeddings == embeddings and tested.selection.choice == AllRows()
        return self.linear_probe if whole else None

    def test_rows(self, workspace: Workspace) -> Rows:
        """The images the model was tested on.

        Raises:
            NotFoundError: they are not in this workspace.
        """
        if self.test is None or not workspace.has(self.test.embeddings):
            raise NotFoundError("The images this model was tested on are not in this workspace; name an embedding set with --on.")
        return find_rows(workspace, self.test)


def remembered_rows(model: ConceptModel, use: Literal["training", "test"]) -> ChosenRows | None:
    """The images that a model was trained or tested on, by what its own files say of them."""
    record = model.method.get("data", {}).get(use)
    return None if record is None else ChosenRows.from_json(record)


def load_model(workspace: Workspace, model: str) -> OpenedModel:
    """The concept model of an artefact id, or of a bundle's folder."""
    if Path(model).is_dir():
        return OpenedModel(ConceptModel.load(model), None)
    artifact = workspace.get(model, ModelArtifact)
    return OpenedModel(ConceptModel.load(artifact.path), artifact)


def as_recipe(recipe: Recipe | str | Path, model: ConceptModel) -> Recipe:
    """A recipe, or the one in a JSON file, its concepts looked up in `model`.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: not a recipe; the message names the edit and the field.
    """
    if isinstance(recipe, Recipe):
        return recipe
    try:
        text = Path(recipe).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"The recipe {recipe} cannot be read ({error}).") from error
    return Recipe.from_json(text, model.concepts_named)


def edit_request(parent: ArtifactId, recipe: Recipe, rows: Rows) -> Editing:
    """What `edit` asks for with a model's id, the whole recipe, and the rows to measure on."""
    return Editing(parent, recipe.to_json(), rows.chosen)


def require_model_world(images: EmbeddingSet, model: ConceptModel) -> None:
    """Raises MismatchError where images come from another backbone or space than the model."""
    if model.backbone is not None:
        model.backbone.require_match(images.backbone, f"the model and {images.id}")
    require_space(images.space, model.space, images.id, "the model")


def backbone_of(reference: BackboneReference, pretrained: str | None, device: str) -> Backbone:
    """The backbone of a reference, loaded; `pretrained` takes the place of the weights that the reference remembers."""
    from cbm.backbones.backbone import Backbone

    if reference.architecture == DEMO:
        return Backbone(DEMO, None, device=device)
    return Backbone(reference.architecture, pretrained or reference.pretrained, device=device)
