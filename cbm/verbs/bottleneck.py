"""bottleneck: concepts with names, by one of the methods that need no naming afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.run import Run
from cbm.core.settings import make_settings
from cbm.core.wording import counted
from cbm.registry import METHODS
from cbm.verbs.base import AsJob, OnDevice, Seeded, SettingsOf, VerbResult, verb
from cbm.verbs.class_texts import class_texts
from cbm.verbs.vocabulary import default_vocabulary, find_vocabulary
from cbm.workspace.artifacts import DictionaryArtifact
from cbm.workspace.requests import EncodedNames, Fitting, OwnNames
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.bottlenecks.part import Material
    from cbm.names.vocabulary import Vocabulary
    from cbm.study.held_out import Rows


@dataclass(frozen=True)
class MakeBottleneck(OnDevice, Seeded):
    on: str
    """Embedding set to learn from; of one with a test split, or later tested on a fifth of itself, only the training part is seen."""
    _: KW_ONLY
    method: Annotated[str, METHODS] = "label-free"
    """How concepts are made."""
    words: str | None = None
    """Id of a vocabulary, or english, attributes, scenes, a .txt or an .npz to be encoded first; by the backbone when absent."""
    whole: bool = False
    """Learn from all images of the set, for one that has a test set of its own."""
    options: Annotated[Mapping[str, Any], SettingsOf("method")] = field(default_factory=dict)
    """Settings of the method."""


@dataclass(frozen=True)
class BottleneckMade(VerbResult):
    dictionary: str
    """The bottleneck."""
    concepts: str
    """Its concepts with their names, to train on."""
    size: int
    active: float
    """Mean number of concepts that are active per image."""
    figures: Mapping[str, float]
    """Figures that the method reports."""


def _figures(result: Mapping[str, Any]) -> str:
    return f"{counted(result['size'], 'concept')}, {result['active']:.1f} active per image"


@verb(MakeBottleneck, job=AsJob("Make a bottleneck", "classify", "Train with these concepts", _figures))
def bottleneck(settings: MakeBottleneck, workspace: Workspace, run: Run) -> BottleneckMade:
    """Make named concepts by a method of the field: from words, or from known concepts.

    Raises:
        InvalidInputError: the images or words lack what the method learns from, or a setting does not fit it.
        MismatchError: words and images come from different backbones.
    """
    from cbm.embeddings.sets import load_set
    from cbm.names.vocabulary import BARE_NAME, Vocabulary
    from cbm.study.held_out import all_rows, training_rows

    part = METHODS[settings.method]
    own = make_settings(part.settings, settings.options, f"the method {part.name}")
    images = load_set(workspace, settings.on)
    stages = run.stages([("encoding words", 1.0), ("making concepts", 3.0)])
    with stages.next() as stage:
        words = None
        if "words" in part.needs(own) or settings.words is not None:
            words = find_vocabulary(workspace, settings.words or default_vocabulary(images.backbone), images.backbone, None, stage)
    loaded = None if words is None else Vocabulary.load(words)
    if words is not None and loaded is not None:
        images.backbone.require_match(loaded.backbone, f"{images.id} and {words.id}")
    rows = all_rows(images) if settings.whole else training_rows(images, run.seed)
    texts = None
    if words is not None and "words" in part.needs(own):
        templates = words.made.templates if isinstance(words.made, EncodedNames) else BARE_NAME
        texts = class_texts(images, loaded, run.device, templates)
    request = Fitting(
        part.name,
        dataclasses.asdict(own),
        run.seed,
        rows.chosen,
        None if words is None else words.id,
        None if texts is None else hashlib.sha256(texts.tobytes()).hexdigest(),
        images.space,
        images.backbone.to_dict(),
    )

    def write(draft: Draft) -> None:
        with stages.next() as stage:
            fitted = part.fit(_material(rows, loaded, texts), own, stage)
        fitted.bottleneck.save(draft.path)
        draft.metrics.update(method=fitted.figures, images=len(rows.rows))

    made = workspace.create(request, write)
    named = workspace.create(
        OwnNames(made.id, (rows.chosen.embeddings,), request.vocabulary), lambda draft: _write_names(draft, made, rows, loaded)
    )
    figures = made.figures
    return BottleneckMade(made.id, named.id, named.figures.named or 0, named.figures.active or 0.0, figures.method or {})


def _material(rows: Rows, words: Vocabulary | None, texts: Any) -> Material:
    from cbm.bottlenecks.part import KnownConcepts, Material

    source = rows.source
    known = KnownConcepts(source.concept_names, source.truth[rows.rows]) if source.concept_names else None
    return Material(rows.embeddings, rows.labels, source.classes, words, texts, known)


def _write_names(draft: Draft, made: DictionaryArtifact, rows: Rows, words: Vocabulary | None) -> None:
    from cbm.bottlenecks.base import load_bottleneck
    from cbm.names.concepts import ActivationStatistics, ConceptTable

    found = load_bottleneck(made.path)
    statistics = ActivationStatistics.of(found.encode(rows.embeddings))
    source = rows.source
    details = {
        "rule": "own",
        "vocabulary": "" if words is None else words.source,
        "images": [source.id],
        "backbone": source.backbone.to_dict(),
        "space": source.space,
    }
    ConceptTable.named_by_method(found.names, statistics, details).save(draft.path)
    draft.metrics.update(named=found.size, unique=len(set(found.names)), active=float(statistics.density.sum()))
