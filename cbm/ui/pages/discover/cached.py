"""What the discover page reads from the workspace, once for all visitors; keys are ids and the time of the last change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.trainer import HistoryPoint
from cbm.names.concepts import ConceptTable
from cbm.study import dictionary_runs
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.study.image_sets import ImageSet, readable_image_sets
from cbm.ui.frame import resources
from cbm.workspace.workspace import Workspace


def _stamp(root: str) -> int:
    folder = Path(root) / "artifacts"
    return folder.stat().st_mtime_ns if folder.exists() else 0


def image_sets(root: str) -> tuple[ImageSet, ...]:
    """The embedding sets, newest first."""
    return _image_sets(root, _stamp(root))


@st.cache_resource(max_entries=32, show_spinner=False)
def _image_sets(root: str, stamp: int) -> tuple[ImageSet, ...]:
    return readable_image_sets(resources.artifacts(root, "embeddings"))


def runs(root: str) -> tuple[DictionaryRun, ...]:
    """The dictionaries, newest first."""
    return _runs(root, _stamp(root))


@st.cache_resource(max_entries=32, show_spinner=False)
def _runs(root: str, stamp: int) -> tuple[DictionaryRun, ...]:
    return dictionary_runs.dictionary_runs(resources.artifacts(root, "dictionary"), image_sets(root))


def tables(root: str, run: DictionaryRun) -> tuple[NamedTable, ...]:
    """The named tables of a dictionary, newest first."""
    concepts, vocabularies, models = (resources.artifacts(root, kind) for kind in ("concepts", "vocabulary", "model"))
    return dictionary_runs.named_tables(run.id, concepts, vocabularies, models, run.width)


@st.cache_resource(max_entries=64, show_spinner=False)
def history(root: str, dictionary: str) -> tuple[HistoryPoint, ...]:
    return dictionary_runs.history(Workspace(root).get(dictionary, "dictionary"))


@st.cache_resource(max_entries=16, show_spinner="Looking at what the concepts fire on …")
def _evidence(root: str, dictionary: str, sets: tuple[str, ...]) -> DictionaryEvidence:
    found = load_dictionary(Workspace(root).get(dictionary, "dictionary").path)
    return DictionaryEvidence.of(found, [resources.embedding_set(root, identifier) for identifier in sets])


def evidence(root: str, run: DictionaryRun) -> DictionaryEvidence:
    """What a run's concepts fire on.

    Raises:
        NotFoundError: the images it was learned from are gone.
        CorruptArtifactError: a file of it is damaged.
    """
    if not run.sets:
        raise NotFoundError(f"The images that {run.id} was learned from are not in this workspace, so its concepts cannot be shown.")
    return _evidence(root, run.id, run.sets)


@st.cache_resource(max_entries=16, show_spinner=False)
def concept_table(root: str, concepts: str) -> ConceptTable:
    return ConceptTable.load(Workspace(root).get(concepts, "concepts").path)


@st.cache_resource(max_entries=16, show_spinner=False)
def names(root: str, concepts: str) -> tuple[str, ...]:
    """What to show for every concept of a table."""
    return tuple(concept_table(root, concepts).names)


@st.cache_resource(max_entries=16, show_spinner=False)
def name_scores(root: str, concepts: str) -> tuple[np.ndarray, np.ndarray]:
    """Score of the best name of every concept, and whether it was good enough."""
    table = concept_table(root, concepts)
    return table.frame["score"].to_numpy(np.float64), table.named
