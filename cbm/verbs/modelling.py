"""The verbs that make and use concept models: train, evaluate, explain, edit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import InvalidInputError, MissingWeightsError, NotFoundError, RejectedImageError
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.dictionaries.base import load_dictionary
from cbm.editing.effect import EditEffect, measure_effect
from cbm.editing.recipe import NameEdit, Recipe
from cbm.embeddings.sets import EmbeddingSet
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ConceptTable
from cbm.names.vocabulary import Vocabulary
from cbm.verbs.common import WorkspaceLike, load_set, open_workspace, require_space
from cbm.verbs.held_out import Rows, all_rows, test_rows_of, training_and_test
from cbm.verbs.results import ContributionLine, Edited, Evaluated, Explained, PathPoint, Trained
from cbm.workspace.workspace import Artifact, Draft, Workspace

if TYPE_CHECKING:
    from cbm.backbones.reference import BackboneReference


def train(
    concepts: str,
    on: str,
    *,
    test: str | None = None,
    head: str = "sparse",
    necs: Sequence[int] = (5, 10, 15, 20, 25, 30),
    names_from: str | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Trained:
    """Train a concept model beside its baselines: the linear probe, zero-shot, and the same head on as many random directions.

    Args:
        on: labelled embedding set to train on.
        test: labelled set to test on; the test split of `on`, or a held-out fifth of every class, when absent.
        head: `sparse` (the model holds the head of the first of `necs`), `dense`, or `dn-cbm` (the published probe).
        names_from: a model whose renames, merges and hides are carried over.

    Raises:
        InvalidInputError: no labels, an unknown head, or a first NEC that no optimum reaches.
        MismatchError: concepts and images come from different backbones or spaces.
    """
    home = open_workspace(workspace)
    source = home.get(concepts, "concepts")
    table = ConceptTable.load(source.path)
    images = load_set(home, on)
    tests = load_set(home, test) if test else None
    for part in (images, tests) if tests else (images,):
        _require_same_world(part, table, source.id)
    training_rows, test_rows = training_and_test(images, tests, seed)
    kept = _name_edits(home, names_from)
    parameters = {
        "head": head,
        "necs": list(necs),
        "seed": seed,
        "test": test_rows.selection,
        "training": training_rows.selection,
        "names": kept.to_json() if len(kept) else None,
    }
    parents = tuple(dict.fromkeys((source.id, images.id, test_rows.source.id)))

    def write(draft: Draft) -> None:
        from cbm.model.save import write_model
        from cbm.verbs.fitting import fit_heads

        dictionary = load_dictionary(home.get(source.parents[0]).path)
        text = _class_embeddings(home, source, images, device)
        fitted = fit_heads(dictionary, training_rows, test_rows, images.classes, head, necs, text, seed, progress, cancelled)
        draft.metrics.update(fitted.metrics)
        method = {
            "name": "Discover-then-Name",
            "head": head,
            "seed": seed,
            "concepts": source.id,
            "naming": dict(table.details),
            "data": {"training": training_rows.record(), "test": test_rows.record()},
            "metrics": fitted.metrics,
        }
        model = ConceptModel(dictionary, fitted.head, table, images.classes, kept, images.backbone, images.space, method)
        write_model(model, draft.path)

    return _trained(home.create("model", parameters, parents, write))


def evaluate(model: str, on: str, *, workspace: WorkspaceLike = None) -> Evaluated:
    """Every metric that applies to a model on an embedding set: labels, groups and known concepts decide which."""
    from cbm.verbs.evaluation import evaluate_model

    home = open_workspace(workspace)
    loaded = load_model(home, model).model
    images = load_set(home, on)
    require_model_world(images, loaded)
    return Evaluated(evaluate_model(loaded, images))


def explain(
    model: str,
    item: str,
    *,
    on: str | None = None,
    target: str | None = None,
    top: int = 10,
    pretrained: str | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
) -> Explained:
    """The prediction of one image and the concepts it comes from.

    Args:
        item: a picture's file, or an item or row number of `on`.
        on: embedding set that holds the item; the model's test set when absent.
        pretrained: checkpoint file of the model's backbone, for a picture's file where the model was made with one.
    """
    home = open_workspace(workspace)
    opened = load_model(home, model)
    embedding, found = _embedding_of(home, opened, item, on, pretrained, device)
    explanation = opened.model.explain(embedding, found, target)
    counterfactual = opened.model.counterfactual(embedding, found)
    lines = tuple(
        ContributionLine(part.concept, part.name, part.activation, part.weight, part.contribution, part.share)
        for part in explanation.top(top)
    )
    return Explained(
        item=found,
        prediction=explanation.predicted_class,
        probability=float(explanation.probabilities[explanation.predicted]),
        target=explanation.target_class,
        logit=explanation.logit,
        bias=explanation.bias,
        contributions=lines,
        rest=explanation.rest(top),
        counterfactual=counterfactual.names if counterfactual.possible else None,
    )


def edit(
    model: str, recipe: Recipe | str | Path, *, on: str | None = None, replace: bool = False, workspace: WorkspaceLike = None
) -> Edited:
    """Apply a recipe on top of a model's own edits, or in their place, and measure on held-out images what that changes.

    Args:
        recipe: a `Recipe`, or a JSON file of one; concepts may be given by name alone.
        on: labelled embedding set to measure on; the model's test images when absent.
        replace: the recipe takes the place of the model's own edits, so that it may also leave some of them out.
    """
    home = open_workspace(workspace)
    opened = load_model(home, model)
    if opened.artifact is None:
        raise InvalidInputError(f"{model} is an exported bundle; edit the model in the workspace and export it again.")
    before = opened.model
    change = recipe if isinstance(recipe, Recipe) else read_recipe(Path(recipe), before)
    after = before.with_recipe(change if replace else before.recipe.append(*change.active))
    rows = all_rows(load_set(home, on)).labelled() if on else opened.test_rows(home)
    require_model_world(rows.source, before)
    groups = rows.groups if (rows.groups >= 0).any() else None
    effect = measure_effect(before, after, rows.embeddings, rows.labels_among(before.classes), groups, rows.source.groups, rows.items)
    artifact = _write_edited(home, opened.artifact, after, rows, effect)
    return _edited(artifact, effect)


@dataclass(frozen=True)
class OpenedModel:
    """A model and where it came from."""

    model: ConceptModel
    artifact: Artifact | None
    """None for a bundle outside the workspace."""

    def has_test_rows(self, workspace: Workspace) -> bool:
        record = self.model.method.get("data", {}).get("test")
        return record is not None and any(record["embeddings"] == artifact.id for artifact in workspace.list("embeddings"))

    def test_rows(self, workspace: Workspace) -> Rows:
        """The images the model was tested on.

        Raises:
            NotFoundError: they are not in this workspace.
        """
        if not self.has_test_rows(workspace):
            raise NotFoundError("The images this model was tested on are not in this workspace; name an embedding set with --on.")
        return test_rows_of(workspace, self.model.method["data"]["test"])


def load_model(workspace: Workspace, model: str) -> OpenedModel:
    """The concept model of an artefact id, or of a bundle's folder."""
    if Path(model).is_dir():
        return OpenedModel(ConceptModel.load(model), None)
    artifact = workspace.get(model, "model")
    return OpenedModel(ConceptModel.load(artifact.path), artifact)


def read_recipe(file: Path, model: ConceptModel) -> Recipe:
    """The recipe in a JSON file, its concepts looked up in `model`.

    Raises:
        NotFoundError: no such file.
        InvalidInputError: not a recipe; the message names the edit and the field.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFoundError(f"The recipe {file} cannot be read ({error}).") from error
    return Recipe.from_json(text, model.concepts_named)


def _name_edits(home: Workspace, names_from: str | None) -> Recipe:
    """The renames, merges and hides of a model: what survives when a head is trained anew."""
    if names_from is None:
        return Recipe()
    return Recipe.of(*(edit for edit in load_model(home, names_from).model.recipe.active if isinstance(edit, NameEdit)))


def _require_same_world(images: EmbeddingSet, table: ConceptTable, concepts: str) -> None:
    from cbm.backbones.reference import BackboneReference

    BackboneReference.from_dict(table.details["backbone"]).require_match(images.backbone, f"{concepts} and {images.id}")
    require_space(images.space, table.details["space"], images.id, concepts)


def require_model_world(images: EmbeddingSet, model: ConceptModel) -> None:
    if model.backbone is not None:
        model.backbone.require_match(images.backbone, f"the model and {images.id}")
    require_space(images.space, model.space, images.id, "the model")


def _class_embeddings(home: Workspace, concepts: Artifact, images: EmbeddingSet, device: str) -> Float32[np.ndarray, "classes dim"] | None:
    """Text embeddings of the class names, for zero-shot: from the vocabulary if it holds them all, else from the backbone if it is here."""
    vocabulary = Vocabulary.load(home.get(concepts.parents[1]))
    rows = {word.casefold(): row for row, word in enumerate(vocabulary.names)}
    names = [name.replace("_", " ").casefold() for name in images.classes]
    if all(name in rows for name in names):
        return vocabulary.embeddings[[rows[name] for name in names]]
    if images.backbone.is_foreign:
        # Whoever brings vectors asked for no weights, and loading the stated tag might download them.
        return None
    try:
        backbone = _backbone(images.backbone, None, device)
    except (MissingWeightsError, NotFoundError):
        return None
    # A checkpoint is remembered by its file name, and another file of that name may lie here.
    if not backbone.reference.matches(images.backbone):
        return None
    return backbone.encode_texts(names, templates=("a photo of a {}.",))


def _backbone(reference: BackboneReference, pretrained: str | None, device: str):  # type: ignore[no-untyped-def]
    from cbm.backbones.architectures import DEMO
    from cbm.backbones.backbone import Backbone

    if reference.architecture == DEMO:
        return Backbone(DEMO, None, device=device)
    return Backbone(reference.architecture, pretrained or reference.pretrained, device=device)


def _embedding_of(
    home: Workspace, opened: OpenedModel, item: str, on: str | None, pretrained: str | None, device: str
) -> tuple[Float32[np.ndarray, " dim"], str]:
    model = opened.model
    if on is None and (os.path.isfile(item) or item.startswith("scene:")):
        from cbm.embeddings.sets import to_space
        from cbm.images.decode import decode
        from cbm.images.pictures import read_bytes

        if model.backbone is None:
            raise InvalidInputError("The model does not say which backbone it belongs to; explain an item of an embedding set with --on.")
        backbone = _backbone(model.backbone, pretrained, device)
        model.backbone.require_match(backbone.reference, "the model and the loaded backbone")
        try:
            picture = decode(read_bytes(item), target_size=backbone.image_size)
        except RejectedImageError as error:
            raise InvalidInputError(f"{item} cannot be explained: {error.reason}. Give another picture.") from error
        vectors = backbone.encode_images([picture])
        return to_space(vectors, model.space)[0], item  # type: ignore[arg-type]
    images = load_set(home, on) if on else opened.test_rows(home).source
    require_model_world(images, model)
    row = images.find(item)
    return images.embeddings[row], str(images.items["item"].iloc[row])


def _write_edited(home: Workspace, parent: Artifact, after: ConceptModel, rows: Rows, effect: EditEffect) -> Artifact:
    from cbm.model.save import write_model

    def write(draft: Draft) -> None:
        draft.metrics.update(effect=effect.to_dict(), **{key: value for key, value in parent.metrics.items() if key != "effect"})
        write_model(after, draft.path)

    parameters, parents = edit_request(parent.id, after.recipe, rows)
    return home.create("model", parameters, parents, write)


def edit_request(parent: str, recipe: Recipe, rows: Rows) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parameters and parents of the model that `edit` makes of a model's id, the whole recipe, and the rows to measure on."""
    return {"recipe": recipe.to_json(), "measured_on": rows.record()}, tuple(dict.fromkeys((parent, rows.source.id)))


def _edited(artifact: Artifact, effect: EditEffect) -> Edited:
    worst = None
    if effect.worst_group_before is not None and effect.worst_group_after is not None:
        worst = {"before": effect.worst_group_before, "after": effect.worst_group_after}
    return Edited(
        model=artifact.id,
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        worst_group=worst,
        per_class={part.name: (part.before, part.after) for part in effect.per_class},
    )


def _trained(artifact: Artifact) -> Trained:
    figures = artifact.metrics
    return Trained(
        model=artifact.id,
        accuracy=figures["accuracy"],
        nec_path=tuple(PathPoint(**point) for point in figures["nec_path"]),
        linear_probe=figures["linear_probe"],
        random_concepts=tuple(PathPoint(**point) for point in figures["random_concepts"]),
        zero_shot=figures["zero_shot"],
        dense=figures["dense"],
    )
