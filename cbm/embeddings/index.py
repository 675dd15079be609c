"""Nearest neighbours by cosine: derived from an embedding set, disposable, rebuilt when stale."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from cbm.core.arrays import unit_rows
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.files import whole_file, write_json

FLAT_LIMIT = 200_000
"""Up to here exact search takes some 30 ms a query on two cores, and needs no index."""
WANTED_RECALL = 0.95
_RECALL_SAMPLE = 256
_RECALL_NEIGHBOURS = 10
_TRAINING_ROWS_PER_LIST = 64
_ROWS_AT_ONCE = 65536
_SEED = 0
_FORMAT = 1


@dataclass(frozen=True)
class SearchResult:
    """Neighbours of each query, best first."""

    rows: Int64[np.ndarray, "queries k"]
    """Rows of the embedding set; -1 where fewer than k were found."""
    scores: Float32[np.ndarray, "queries k"]
    """Cosines."""


@dataclass(frozen=True)
class IndexInfo:
    """What was built, and how good it is on this set's own vectors."""

    kind: str
    """`flat` (exact) or `IVF<lists>,SQ8`."""
    digest: str
    """SHA-256 of the vectors that it was built from."""
    count: int
    dim: int
    probes: int
    """Lists that a query visits; 0 for flat."""
    recall: float
    """Of the ten exact neighbours, the share that a search finds, over sampled rows; 1 for flat by definition."""
    file_digest: str = ""
    format: int = _FORMAT


class VectorIndex:
    """Cosine search in the vectors of an embedding set.

    Up to 200,000 vectors are searched exactly. Above that an inverted file with 8-bit codes (`IVF,SQ8`, a quarter of the memory) is
    built, its number of probes raised until it finds 95 % of the exact neighbours of sampled rows; vectors without cluster structure
    never get there, and stay exact. The files in `folder` may be deleted at any time.

    Args:
        folder: where the index is kept, `index.faiss` beside `index.json`.
        embeddings: [N, d], any space; they are compared by cosine.
        flat_limit: largest number of vectors to be searched exactly.
    """

    def __init__(self, folder: Path, embeddings: Float32[np.ndarray, "items d"], *, flat_limit: int = FLAT_LIMIT) -> None:
        if embeddings.ndim != 2 or not len(embeddings):
            raise InvalidInputError(f"An index needs a non-empty matrix of vectors, not shape {embeddings.shape}.")
        self.folder = folder
        self._vectors = _unit_length(embeddings)
        self._index: Any = None
        if len(embeddings) <= flat_limit:
            self.info = IndexInfo("flat", "", len(embeddings), embeddings.shape[1], 0, 1.0)
            return
        digest = _digest(self._vectors)
        stored = self._load(digest)
        self.info = stored if stored is not None else self._build(digest)

    def _load(self, digest: str) -> IndexInfo | None:
        """The stored index, unless it is absent, stale or damaged: all that costs is building it again."""
        import faiss

        try:
            info = IndexInfo(**json.loads((self.folder / "index.json").read_text()))
            if info.digest != digest or info.format != _FORMAT:
                return None
            if info.kind != "flat":
                # faiss trusts what it reads, so only the very file that was written here is given to it.
                if _file_digest(self.folder / "index.faiss") != info.file_digest:
                    return None
                self._index = faiss.read_index(str(self.folder / "index.faiss"))
                self._index.nprobe = info.probes
        except (OSError, ValueError, TypeError):
            return None
        return info

    def _build(self, digest: str) -> IndexInfo:
        import faiss

        count, dim = self._vectors.shape
        lists = 2 ** round(np.log2(2 * np.sqrt(count)))
        index: Any = faiss.index_factory(dim, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
        generator = np.random.default_rng(_SEED)
        index.train(self._vectors[np.sort(generator.choice(count, min(count, lists * _TRAINING_ROWS_PER_LIST), replace=False))])
        for start in range(0, count, _ROWS_AT_ONCE):
            index.add(np.ascontiguousarray(self._vectors[start : start + _ROWS_AT_ONCE]))
        self._index = index
        probes, recall = 4, 0.0
        while recall < WANTED_RECALL and probes < lists // 8:
            probes *= 2
            index.nprobe = probes
            recall = self.recall()
        self.folder.mkdir(parents=True, exist_ok=True)
        if recall < WANTED_RECALL:
            self._index = None
            info = IndexInfo("flat", digest, count, dim, 0, 1.0)
        else:
            with whole_file(self.folder / "index.faiss") as draft:
                faiss.write_index(index, str(draft))
                info = IndexInfo(f"IVF{lists},SQ8", digest, count, dim, probes, recall, _file_digest(draft))
        write_json(self.folder / "index.json", asdict(info))
        return info

    def search(self, queries: Float32[np.ndarray, "queries d"], k: int) -> SearchResult:
        """The `k` nearest vectors of each query by cosine.

        Raises:
            MismatchError: the queries have another width.
        """
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise MismatchError(f"Queries of shape {queries.shape} do not fit an index of width {self._vectors.shape[1]}.")
        wanted = min(k, len(self._vectors))
        unit = np.ascontiguousarray(_unit_length(queries))
        scores, rows = self._exact(unit, wanted) if self._index is None else self._index.search(unit, wanted)
        return SearchResult(rows, scores)

    def _exact(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        return faiss.knn(queries, self._vectors, k, metric=faiss.METRIC_INNER_PRODUCT)

    def recall(self, sample: int = _RECALL_SAMPLE, k: int = _RECALL_NEIGHBOURS) -> float:
        """Of the exact `k` neighbours of `sample` rows, the share that `search` finds, measured now."""
        generator = np.random.default_rng(_SEED)
        count = len(self._vectors)
        rows = np.sort(generator.choice(count, min(sample, count), replace=False))
        queries = np.ascontiguousarray(self._vectors[rows])
        k = min(k, count)
        found = self.search(queries, k).rows
        exact = self._exact(queries, k)[1]
        return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(found, exact, strict=True)]))


def _unit_length(vectors: np.ndarray) -> np.ndarray:
    """The vectors at unit length; the very array where they have it, so that a memory map is not copied."""
    vectors = np.asarray(vectors, dtype=np.float32)
    norms = np.concatenate([np.linalg.norm(vectors[i : i + _ROWS_AT_ONCE], axis=1) for i in range(0, len(vectors), _ROWS_AT_ONCE)] or [[]])
    if np.allclose(norms, 1, atol=1e-4) and vectors.flags.c_contiguous:
        return vectors
    return np.ascontiguousarray(unit_rows(vectors))


def _digest(vectors: np.ndarray) -> str:
    digest = hashlib.sha256(str(vectors.shape).encode())
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        digest.update(np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE]).data)
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
