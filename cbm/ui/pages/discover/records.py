"""What the discover page reads from the workspace, once for all visitors, and how its parts open one of the runs."""

from __future__ import annotations

from pathlib import Path

from cbm.core.errors import NotFoundError
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.trainer import HistoryPoint
from cbm.names.concepts import ConceptTable
from cbm.study import dictionary_runs
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.study.image_sets import ImageSet, readable_image_sets
from cbm.ui.frame import cache, resources
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import DiscoverPage, short
from cbm.workspace import ConceptsArtifact, DictionaryArtifact, EmbeddingsArtifact, ModelArtifact, VocabularyArtifact, Workspace

WANTED_VIEW = Slot[str | None]("discover_wanted_view", None)
"""The view that the next run of the page is to show, whose choice has a widget of its own."""


def open_run(dictionary: str, *, names: str | None = None) -> None:
    """Callback: let the page show this run, perhaps with these names, from its next run on."""
    DiscoverPage.put(dictionary=short(dictionary), concepts=None if names is None else short(names))
    WANTED_VIEW.put(DiscoverPage.RUNS)


def image_sets(root: str) -> tuple[ImageSet, ...]:
    """The embedding sets, newest first."""
    return _image_sets(root, _stamp(root))


def runs(root: str) -> tuple[DictionaryRun, ...]:
    """The dictionaries, newest first."""
    return _runs(root, _stamp(root))


def tables(root: str, run: DictionaryRun) -> tuple[NamedTable, ...]:
    """The named tables of a dictionary, newest first."""
    concepts, models = resources.artifacts(root, ConceptsArtifact), resources.artifacts(root, ModelArtifact)
    return dictionary_runs.named_tables(run.id, concepts, resources.artifacts(root, VocabularyArtifact), models, run.width)


def _stamp(root: str) -> int:
    folder = Path(root) / "artifacts"
    return folder.stat().st_mtime_ns if folder.exists() else 0


@cache.remember()
def _image_sets(root: str, stamp: int) -> tuple[ImageSet, ...]:
    return readable_image_sets(resources.artifacts(root, EmbeddingsArtifact))


@cache.remember()
def _runs(root: str, stamp: int) -> tuple[DictionaryRun, ...]:
    return dictionary_runs.dictionary_runs(resources.artifacts(root, DictionaryArtifact), image_sets(root))


@cache.remember()
def history(root: str, dictionary: str) -> tuple[HistoryPoint, ...]:
    """Training curves; empty where nothing was trained step by step."""
    return dictionary_runs.history(Workspace(root).get(dictionary, DictionaryArtifact))


def evidence(root: str, run: DictionaryRun) -> DictionaryEvidence:
    """What a run's concepts fire on.

    Raises:
        NotFoundError: the images it was learned from are gone.
        CorruptArtifactError: a file of it is damaged.
    """
    if not run.sets:
        raise NotFoundError(f"The images that {run.id} was learned from are not in this workspace, so its concepts cannot be shown.")
    return _evidence(root, run.id, run.sets)


@cache.remember("Looking at what the concepts fire on …")
def _evidence(root: str, dictionary: str, sets: tuple[str, ...]) -> DictionaryEvidence:
    found = load_dictionary(Workspace(root).get(dictionary, DictionaryArtifact).path)
    return DictionaryEvidence.of(found, [resources.embedding_set(root, identifier) for identifier in sets])


@cache.remember()
def concept_table(root: str, concepts: str) -> ConceptTable:
    """A table of names."""
    return ConceptTable.load(Workspace(root).get(concepts, ConceptsArtifact).path)
