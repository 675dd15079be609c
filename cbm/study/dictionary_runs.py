"""The dictionaries of a workspace and the names given to their concepts, as recorded; figures that were not measured are None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cbm.backbones.reference import BackboneReference
from cbm.core.bottleneck import stored_size
from cbm.core.wording import counted
from cbm.dictionaries.trainer import HistoryPoint
from cbm.registry import DICTIONARIES
from cbm.study.image_sets import ImageSet
from cbm.workspace import ConceptsArtifact, DictionaryArtifact, ModelArtifact, VocabularyArtifact
from cbm.workspace.artifacts import Artifact


@dataclass(frozen=True)
class Baseline:
    """One line to compare with."""

    name: str
    fvu: float
    cosine: float
    l0: float


@dataclass(frozen=True)
class DictionaryRun:
    """One finished dictionary."""

    id: str
    created: str
    variant: str
    """One of `cbm.registry.DICTIONARIES`, or empty where the record does not say."""
    width: int
    k: int | None
    seed: int | None
    images: int
    sets: tuple[str, ...]
    """Ids of the embedding sets it was learned from."""
    sources: tuple[str, ...]
    """What those call themselves."""
    backbone: BackboneReference | None
    fvu: float | None
    cosine: float | None
    l0: float | None
    dead: float | None
    held_out: int | None
    seconds: float | None
    samples_per_second: float | None
    baselines: tuple[Baseline, ...]

    @property
    def method(self) -> str:
        """What the variant is called."""
        return DICTIONARIES[self.variant].label if self.variant in DICTIONARIES else "Dictionary"

    @property
    def short(self) -> str:
        """Method and size: "BatchTopK, 1,024 concepts, k 16"."""
        sparsity = f", k {self.k}" if self.k is not None else ""
        return f"{self.method}, {counted(self.width, 'concept')}{sparsity}"

    @property
    def title(self) -> str:
        """`short`, and how many images it was learned from."""
        return f"{self.short}, on {counted(self.images, 'image')}"

    @property
    def day(self) -> str:
        """When it was made, as "22 Nov 2026, 10:00"."""
        return datetime.fromisoformat(self.created).strftime("%-d %b %Y, %H:%M")


@dataclass(frozen=True)
class NamedTable:
    """Names that were given to a dictionary's concepts."""

    id: str
    created: str
    dictionary: str
    vocabulary: str
    """What the list of candidate names calls itself."""
    candidates: int | None
    rule: str
    unique: bool
    size: int
    named: int | None
    different: int | None
    mean_score: float | None
    threshold: float | None
    models: tuple[str, ...]
    """Concept models made from it, newest first."""


def dictionary_runs(dictionaries: Sequence[DictionaryArtifact], sets: Sequence[ImageSet]) -> tuple[DictionaryRun, ...]:
    """The dictionaries without names of their own, in the order given: discovered ones, and those that others trained."""
    by_id = {entry.id: entry for entry in sets}
    return tuple(_run(artifact, by_id) for artifact in dictionaries if artifact.fitting is None)


def named_tables(
    dictionary: str,
    concepts: Sequence[ConceptsArtifact],
    vocabularies: Sequence[VocabularyArtifact],
    models: Sequence[ModelArtifact],
    size: int,
) -> tuple[NamedTable, ...]:
    """The tables of names of one dictionary, in the order given."""
    words = {artifact.id: artifact for artifact in vocabularies}
    found = []
    for artifact in concepts:
        if dictionary not in artifact.parents:
            continue
        vocabulary = None if artifact.vocabulary is None else words.get(artifact.vocabulary)
        naming, figures = artifact.naming, artifact.figures
        found.append(
            NamedTable(
                id=artifact.id,
                created=artifact.created,
                dictionary=dictionary,
                vocabulary="names given by hand" if vocabulary is None else vocabulary.source or "a list",
                candidates=None if vocabulary is None else vocabulary.figures.count,
                rule="" if naming is None else naming.rule,
                unique=naming is not None and naming.unique,
                size=size,
                named=figures.named,
                different=figures.unique,
                mean_score=figures.mean_score,
                threshold=figures.threshold,
                models=tuple(model.id for model in models if artifact.id in model.parents),
            )
        )
    return tuple(found)


def history(artifact: Artifact) -> tuple[HistoryPoint, ...]:
    """The figures of the training, step by step; empty where none were kept."""
    from cbm.dictionaries.training import load_history

    return load_history(artifact.path)


def _run(artifact: DictionaryArtifact, sets: Mapping[str, ImageSet]) -> DictionaryRun:
    discovery, figures = artifact.discovery, artifact.figures
    variant, width, k, seed = _settings({} if discovery is None else discovery.training)
    parents = [sets[parent] for parent in artifact.sets if parent in sets]
    stated = None if discovery is None else BackboneReference.from_dict(discovery.backbone)
    measured = figures.reconstruction
    return DictionaryRun(
        id=artifact.id,
        created=artifact.created,
        variant=variant,
        width=width or stored_size(artifact.path) or 0,
        k=k,
        seed=seed,
        images=sum(parent.count for parent in parents),
        sets=tuple(parent.id for parent in parents),
        sources=tuple(parent.title for parent in parents),
        backbone=stated or (parents[0].backbone if parents else None),
        fvu=None if measured is None else measured.fvu,
        cosine=None if measured is None else measured.cosine_centred,
        l0=None if measured is None else measured.l0_mean,
        dead=figures.dead,
        held_out=figures.held_out,
        seconds=figures.seconds,
        samples_per_second=figures.samples_per_second,
        baselines=tuple(Baseline(name, row.fvu, row.cosine_centred, row.l0_mean) for name, row in (figures.baselines or {}).items()),
    )


def _settings(training: Mapping[str, Any]) -> tuple[str, int | None, int | None, int | None]:
    """Variant, width, k and seed, as a trained dictionary and as a baseline record them."""
    variant = training.get("variant", "")
    if not isinstance(variant, Mapping):
        return str(variant), training.get("width"), training.get("k"), training.get("seed")
    name = str(variant.get("name", ""))
    # Only that recipe leaves the embeddings as they come.
    name = "dn-cbm" if name == "relu-l1" and training.get("inputs") == "raw" else name
    return name, variant.get("width"), variant.get("k"), training.get("seed")
