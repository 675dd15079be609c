"""What the concepts page computes once for all visitors, in the background where it takes seconds: the map, and the meanings of names."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import streamlit as st
from jaxtyping import Bool

from cbm.core.errors import CorruptArtifactError
from cbm.model.concept_model import ConceptModel
from cbm.names.meaning import NameMeanings, embed_names, shared_encoder
from cbm.study.concept_list import ShownConcepts, concept_columns
from cbm.study.concept_map import ConceptMap, map_concepts
from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import resources

NEARLY_EQUAL = 0.9
"""Cosine from which two directions count as nearly the same."""
_background = ThreadPoolExecutor(1, thread_name_prefix="concept-map")


def _cache(root: str) -> Path:
    return Path(root) / "cache"


def directions_of(model: ConceptModel) -> np.ndarray | None:
    """One direction for each concept, where the bottleneck has such a thing."""
    decoder = getattr(model.bottleneck, "decoder", None)
    return None if decoder is None else np.asarray(decoder)


@st.cache_resource(max_entries=4, show_spinner=False)
def pending_map(root: str, model: str) -> Future[ConceptMap | None]:
    """The map of a model's concepts, stored in the workspace; made in the background at the first question. None: it has no directions."""
    directions = directions_of(resources.study(root, model).model)
    return _background.submit(_read_or_make, _cache(root) / "maps", directions, modes.may_write())


def _read_or_make(folder: Path, directions: np.ndarray | None, may_write: bool) -> ConceptMap | None:
    if directions is None or len(directions) < 2:
        return None
    digest = hashlib.sha256(np.ascontiguousarray(directions).tobytes()).hexdigest()[:24]
    file = folder / f"{digest}.safetensors"
    try:
        return ConceptMap.load(file, len(directions))
    except CorruptArtifactError:
        made = map_concepts(directions)
        if may_write:
            # A workspace on a full or read-only disk still has a map.
            with contextlib.suppress(OSError):
                made.save(file)
        return made


def near_duplicates(root: str, model: str, *, wait: bool = False) -> Bool[np.ndarray, " concepts"] | None:
    """Concepts with a nearly equal direction beside them; None while the map is being made, or where there is none."""
    pending = pending_map(root, model)
    if not (wait or pending.done()):
        return None
    found = pending.result()
    return None if found is None else np.asarray((found.similarities[:, :1] >= NEARLY_EQUAL).any(axis=1))


@dataclass(eq=False)
class _Meanings:
    lock: Lock = field(default_factory=Lock)
    known: NameMeanings | None = None


@st.cache_resource(max_entries=8, show_spinner=False)
def _meanings(root: str, model: str) -> _Meanings:
    return _Meanings()


def meanings_ready(root: str, model: str) -> bool:
    """Whether a search by meaning answers at once."""
    return _meanings(root, model).known is not None and shared_encoder.loaded


def meanings(root: str, model: str, progress: Callable[[float], object] | None = None) -> NameMeanings:
    """The meanings of a model's concept names, embedded once and kept in the workspace.

    Raises:
        MissingWeightsError: the sentence encoder is not installed.
    """
    held = _meanings(root, model)
    with held.lock:
        if held.known is None:
            columns = concept_columns(resources.study(root, model))
            names = [name for name, named in zip(columns.names, columns.named, strict=True) if named]
            held.known = embed_names(names, folder=_cache(root) / "names", keep=modes.may_write(), progress=progress)
        return held.known


@lru_cache(maxsize=32)
def _own_names(names: tuple[str, ...]) -> NameMeanings:
    return embed_names(names)


def with_own_names(known: NameMeanings, shown: ShownConcepts) -> NameMeanings:
    """The meanings with those of the names that the visitor gave."""
    fresh = tuple(sorted({name for name in shown.renamed.values() if name not in known.rows}))
    if not fresh:
        return known
    own = _own_names(fresh)
    return NameMeanings(
        (*known.names, *own.names),
        np.concatenate([known.vectors.reshape(len(known.names), -1), own.vectors]) if known.names else own.vectors,
    )


def related_names(root: str, model: str, shown: ShownConcepts, text: str) -> dict[str, float]:
    """Names near to `text` in meaning, with their closeness.

    Raises:
        MissingWeightsError: the sentence encoder is not installed.
    """
    known = with_own_names(meanings(root, model), shown)
    return dict(known.related(text, shared_encoder)) if known.names else {}


def has_directions(study: Study) -> bool:
    """Whether there can be a map."""
    return directions_of(study.model) is not None
