"""name: candidate names for every latent of a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.registry import RULES
from cbm.verbs.base import AsJob, OnDevice, VerbResult, verb
from cbm.verbs.vocabulary import find_vocabulary, is_source
from cbm.workspace.artifacts import DictionaryArtifact, VocabularyArtifact
from cbm.workspace.requests import Naming
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.names.vocabulary import Vocabulary
    from cbm.verbs.joined_sets import JoinedSets


@dataclass(frozen=True)
class Name(OnDevice):
    dictionary: str
    """Id of a dictionary."""
    vocabulary: str
    """Id of a vocabulary, or english, attributes, scenes, a .txt or an .npz to be encoded first."""
    _: KW_ONLY
    rule: Annotated[str, RULES] = "combined"
    """Naming rule."""
    on: str | None = None
    """Embedding set whose images fire the latents; the dictionary's own when absent."""
    unique: bool = False
    """Give each name to the concept it fits best, and to no other; the others get their next best, or none."""
    pretrained: str | None = None
    """Tag or checkpoint file that encodes a list of names, where the backbone's own is not available."""


@dataclass(frozen=True)
class Named(VerbResult):
    concepts: str
    named: int
    """Concepts whose best name scores above the threshold."""
    unique: int
    """Different names among them."""
    mean_score: float


def _figures(result: Mapping[str, Any]) -> str:
    return f"{counted(result['named'], 'concept')} named, {result['unique']:,} different names"


@verb(Name, job=AsJob("Name concepts", "classify", "Train with these concepts", _figures))
def name(settings: Name, workspace: Workspace, run: Run) -> Named:
    """Name the latents of a dictionary, and measure how they fire.

    Raises:
        MismatchError: vocabulary, dictionary and images come from different backbones.
        MissingWeightsError: a list of names cannot be encoded, for the backbone's weights are not here.
    """
    from cbm.backbones.reference import BackboneReference
    from cbm.embeddings.sets import require_space
    from cbm.names.vocabulary import Vocabulary
    from cbm.verbs.joined_sets import join_sets

    source = workspace.get(settings.dictionary, DictionaryArtifact)
    images = join_sets(workspace, [settings.on] if settings.on else source.sets)
    listed = is_source(settings.vocabulary)
    stages = run.stages([*([("encoding names", 3.0)] if listed else ()), ("naming concepts", 2.0)])
    if listed:
        with stages.next() as stage:
            words = find_vocabulary(workspace, settings.vocabulary, images.backbone, settings.pretrained, stage)
    else:
        words = workspace.get(settings.vocabulary, VocabularyArtifact)
    loaded = Vocabulary.load(words)
    images.backbone.require_match(loaded.backbone, f"{images.ids[0]} and {words.id}")
    if source.made_for is not None:
        require_space(images.space, source.made_for.space, images.ids[0], source.id)
        BackboneReference.from_dict(source.made_for.backbone).require_match(images.backbone, f"{source.id} and {images.ids[0]}")
    request = Naming(source.id, words.id, images.ids, settings.rule, settings.unique)
    with stages.next() as stage:
        artifact = workspace.create(request, lambda draft: _write(draft, settings, source, images, loaded, stage))
    figures = artifact.figures
    return Named(artifact.id, figures.named or 0, figures.unique or 0, figures.mean_score or 0.0)


def _write(draft: Draft, settings: Name, source: DictionaryArtifact, images: JoinedSets, vocabulary: Vocabulary, run: Run) -> None:
    from cbm.dictionaries.base import load_dictionary
    from cbm.names.assignment import assign_unique, hub_counts, with_threshold
    from cbm.names.concepts import ActivationStatistics, ConceptTable
    from cbm.names.rules import name_concepts
    from cbm.names.threshold import measured_threshold

    def begin(step: int, message: str) -> None:
        run.check("Naming was stopped; nothing is kept, and the next run starts from the beginning.")
        run.report(step, 3, message)

    bottleneck = load_dictionary(source.path)
    begin(0, "Encoding images into concepts")
    codes = bottleneck.encode(images.embeddings)
    begin(1, "Naming")
    probes: dict[str, Any] = {"rule": settings.rule, "codes": codes, "embeddings": images.embeddings, "text_mean": vocabulary.mean}
    naming = name_concepts(bottleneck.directions, vocabulary.embeddings, **probes)
    begin(2, "Measuring how well names fit by chance")
    naming = with_threshold(naming, measured_threshold(vocabulary.embeddings, **probes))
    if settings.unique:
        naming = assign_unique(naming)
    details = {"vocabulary": vocabulary.source, "images": list(images.ids), "backbone": images.backbone.to_dict(), "space": images.space}
    table = ConceptTable.from_naming(naming, vocabulary.names, ActivationStatistics.of(codes), details)
    table.save(draft.path)
    named_scores = naming.score[naming.named]
    draft.metrics.update(
        named=int(naming.named.sum()),
        unique=len(set(naming.names[naming.named].tolist())),
        mean_score=float(named_scores.mean()) if len(named_scores) else 0.0,
        hubs=len(hub_counts(naming)),
        threshold=naming.threshold,
    )
