"""train: named concepts and labelled images into a concept model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import MismatchError
from cbm.core.run import Run
from cbm.core.settings import make_settings, settings_fields
from cbm.core.wording import percent
from cbm.editing.recipe import NameEdit, Recipe
from cbm.registry import HEADS, METHODS
from cbm.verbs.base import AsJob, Hosted, OnDevice, Option, Seeded, SettingsOf, VerbResult, verb
from cbm.verbs.class_texts import class_texts, concept_texts
from cbm.workspace.artifacts import ConceptsArtifact, DictionaryArtifact, ModelArtifact
from cbm.workspace.requests import Training
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.embeddings.sets import EmbeddingSet
    from cbm.names.concepts import ConceptTable
    from cbm.study.held_out import Rows

NECS = (5, 10, 15, 20, 25, 30)


@dataclass(frozen=True)
class Train(OnDevice, Seeded):
    concepts: str
    """Id of named concepts."""
    on: str
    """Labelled embedding set to train on."""
    _: KW_ONLY
    test: str | None = None
    """Labelled set to test on; the test split of --on, or a held-out fifth of every class, when absent."""
    head: Annotated[str, HEADS] = "sparse"
    """Which head the model holds; the sparse one is that of the first NEC listed."""
    necs: Annotated[Sequence[int], Option("nec"), Hosted(1000)] = NECS
    """Numbers of effective concepts per class to report."""
    names_from: str | None = None
    """Model whose renamed, merged and hidden concepts are carried over."""
    options: Annotated[Mapping[str, Any], SettingsOf("head")] = field(default_factory=dict)
    """Further settings of the head."""


@dataclass(frozen=True)
class PathPoint(VerbResult):
    nec: float
    reached: bool
    accuracy: float | None


@dataclass(frozen=True)
class Trained(VerbResult):
    model: str
    accuracy: float
    nec_path: tuple[PathPoint, ...]
    linear_probe: float
    random_concepts: tuple[PathPoint, ...]
    zero_shot: float | None
    """None where no backbone weights are available to encode the class names."""
    dense: float
    """Accuracy of the dense head on the same concepts."""


def figures(result: Mapping[str, Any]) -> str:
    return f"accuracy {percent(result['accuracy'])}, linear probe {percent(result['linear_probe'])}"


@verb(Train, job=AsJob("Train a classifier", "classify", "Open the classifier", figures))
def train(settings: Train, workspace: Workspace, run: Run) -> Trained:
    """Train a concept model beside its baselines: the linear probe, zero-shot, and the same head on random directions.

    Raises:
        InvalidInputError: no labels, an unknown head, or a first NEC that no optimum reaches.
        MismatchError: concepts and images come from different backbones or spaces.
    """
    from cbm.embeddings.sets import load_set
    from cbm.names.concepts import ConceptTable
    from cbm.study.held_out import training_and_test

    source = workspace.get(settings.concepts, ConceptsArtifact)
    made_by = workspace.get(source.dictionary, DictionaryArtifact)
    table = ConceptTable.load(source.path)
    images = load_set(workspace, settings.on)
    tests = load_set(workspace, settings.test) if settings.test else None
    for part in (images, tests) if tests else (images,):
        _require_same_world(part, table, source.id)
    training_rows, test_rows = training_and_test(images, tests, run.seed)
    _require_unseen(workspace, made_by, test_rows)
    kept = _name_edits(workspace, settings.names_from)
    names = kept.to_json() if len(kept) else None
    necs = tuple(settings.necs)
    request = Training(source.id, training_rows.chosen, test_rows.chosen, settings.head, necs, run.seed, names, _own_options(settings))

    def write(draft: Draft) -> None:
        from cbm.bottlenecks.base import load_bottleneck
        from cbm.model.concept_model import ConceptModel
        from cbm.model.save import write_model
        from cbm.names.vocabulary import Vocabulary
        from cbm.verbs.fitting import fit_heads

        dictionary = load_bottleneck(made_by.path)
        vocabulary = None if source.vocabulary is None else Vocabulary.load(workspace.get(source.vocabulary))
        text = class_texts(images, vocabulary, run.device)
        shown = table.with_names(kept.decisions().names).names if len(kept) else table.names
        fitted = fit_heads(
            dictionary,
            training_rows,
            test_rows,
            images.classes,
            request,
            text,
            run,
            concepts=shown,
            concept_text=concept_texts(shown, vocabulary),
        )
        draft.metrics.update(fitted.metrics)
        method = {
            "name": "Discover-then-Name" if made_by.fitting is None else METHODS[made_by.fitting.method].label,
            "head": settings.head,
            "seed": run.seed,
            "concepts": source.id,
            "naming": dict(table.details),
            "data": {"training": training_rows.chosen.described(), "test": test_rows.chosen.described()},
            "metrics": fitted.metrics,
        }
        model = ConceptModel(dictionary, fitted.head, table, images.classes, kept, images.backbone, images.space, method)
        write_model(model, draft.path)

    return _trained(workspace.create(request, write))


def _require_unseen(workspace: Workspace, made_by: DictionaryArtifact, test: Rows) -> None:
    """
    Raises:
        MismatchError: a method with named concepts learned from images that the model is to be tested on.
    """
    import numpy as np

    from cbm.study.held_out import find_rows

    fitting = made_by.fitting
    if fitting is None or fitting.on.embeddings != test.source.id:
        return
    seen = len(np.intersect1d(find_rows(workspace, fitting.on).rows, test.rows))
    if seen:
        raise MismatchError(
            f"{made_by.id} learned from {seen:,} of the {len(test.rows):,} images that the model would be tested on. Give other images "
            "with --test, or make the bottleneck and the model with the same seed and without --whole."
        )


def _name_edits(workspace: Workspace, names_from: str | None) -> Recipe:
    """The renames, merges and hides of a model: what survives when a head is trained again."""
    from cbm.study.opened import load_model

    if names_from is None:
        return Recipe()
    return Recipe.of(*(edit for edit in load_model(workspace, names_from).model.recipe.active if isinstance(edit, NameEdit)))


def _own_options(settings: Train) -> dict[str, Any]:
    """The head's settings that differ from their defaults, checked."""
    part = HEADS[settings.head]
    made = make_settings(part.settings, settings.options, f"the head {part.name}")
    defaults = {entry.name: entry.default for entry in settings_fields(part.settings)}
    return {name: getattr(made, name) for name in settings.options if getattr(made, name) != defaults[name]}


def _require_same_world(images: EmbeddingSet, table: ConceptTable, concepts: str) -> None:
    from cbm.backbones.reference import BackboneReference
    from cbm.embeddings.sets import require_space

    BackboneReference.from_dict(table.details["backbone"]).require_match(images.backbone, f"{concepts} and {images.id}")
    require_space(images.space, table.details["space"], images.id, concepts)


def _trained(artifact: ModelArtifact) -> Trained:
    figures = artifact.figures
    assert figures.accuracy is not None
    assert figures.linear_probe is not None
    assert figures.dense is not None
    return Trained(
        model=artifact.id,
        accuracy=figures.accuracy,
        nec_path=tuple(PathPoint(point.nec, point.reached, point.accuracy) for point in figures.nec_path),
        linear_probe=figures.linear_probe,
        random_concepts=tuple(PathPoint(point.nec, point.reached, point.accuracy) for point in figures.random_concepts),
        zero_shot=figures.zero_shot,
        dense=figures.dense,
    )
