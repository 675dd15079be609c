"""Every raw embedding ever computed here, under the digest of the file and the fingerprint of the backbone."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float32, Int64

from cbm.core.errors import CorruptArtifactError, MismatchError
from cbm.core.files import FileLock, sync

ROWS_PER_SHARD = 16384
ABSENT = -1
_SCHEMA = "1"
_LOOKUP_CHUNK = 500
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (digest BLOB PRIMARY KEY, row INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (first_row INTEGER PRIMARY KEY, count INTEGER NOT NULL, process INTEGER NOT NULL);
COMMIT;
"""


@dataclass(frozen=True)
class StoredBatch:
    """One committed batch: what the manifest says about when rows came in."""

    first_row: int
    count: int
    process: int
    """Number of the process that encoded it."""


class EmbeddingStore:
    """Opens the parts of the store, one folder for each backbone.

    Args:
        root: the store's folder, `Workspace.store`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, key: str, dim: int, *, write: bool = False) -> StorePart:
        """The vectors of one backbone.

        Args:
            key: `Backbone.store_key`.
            dim: width of a vector.
            write: whether to append; one process at a time may.

        Raises:
            InvalidInputError: another process is writing.
            MismatchError: the part holds vectors of another width.
            CorruptArtifactError: the files contradict the manifest.
        """
        return StorePart(self.root / key, dim, write=write)


class StorePart:
    """Raw vectors of one backbone: float32 rows in shards of fixed size, and an SQLite manifest that says which rows are valid.

    A batch counts once it is committed to the manifest, after its rows have reached the disk. Whatever a killed process wrote
    behind the last committed row is overwritten. Readers need no lock; the same object may be used from several threads.
    """

    def __init__(self, folder: Path, dim: int, *, write: bool) -> None:
        self.folder = folder
        self.dim = dim
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / "writer.lock") if write else None
        if self._lock is not None:
            self._lock.acquire("embedding into")
        try:
            self._database = sqlite3.connect(folder / "manifest.sqlite", timeout=30, check_same_thread=False, isolation_level=None)
            self._guard = threading.Lock()
            self._maps: dict[int, np.ndarray] = {}
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._release()
            raise CorruptArtifactError(
                f"The manifest of {folder} is damaged ({error}); remove that folder, and the pictures are encoded again."
            ) from error
        except BaseException:
            self._release()
            raise

    def _prepare(self) -> None:
        # FULL: a committed batch survives a power cut too, not only a killed process.
        self._database.execute("PRAGMA synchronous=FULL")
        tables = self._database.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        if self._lock is not None or not tables:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.executescript(_TABLES)
            for name, value in (("schema", _SCHEMA), ("dim", str(self.dim)), ("rows_per_shard", str(ROWS_PER_SHARD))):
                self._database.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, value))
        settings = dict(self._database.execute("SELECT name, value FROM settings").fetchall())
        if settings["schema"] != _SCHEMA:
            raise CorruptArtifactError(f"{self.folder} was written by another version; remove it, and the pictures are encoded again.")
        if int(settings["dim"]) != self.dim:
            raise MismatchError(
                f"{self.folder} holds vectors of width {settings['dim']}, not {self.dim}; remove it if its backbone is gone."
            )
        self._rows_per_shard = int(settings["rows_per_shard"])
        self._count = self._committed_rows()
        for shard in range(-(-self._count // self._rows_per_shard)):
            rows = min(self._rows_per_shard, self._count - shard * self._rows_per_shard)
            path = self._shard_path(shard)
            if not path.is_file() or path.stat().st_size < rows * self._row_bytes:
                raise CorruptArtifactError(
                    f"{path} is shorter than the manifest says; remove {self.folder}, and the pictures are encoded again."
                )

    def _committed_rows(self) -> int:
        return int(self._database.execute("SELECT COALESCE(MAX(row) + 1, 0) FROM rows").fetchone()[0])

    @property
    def _row_bytes(self) -> int:
        return self.dim * 4

    def _shard_path(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:05d}.f32"

    def __len__(self) -> int:
        return self._count

    def __contains__(self, digest: bytes) -> bool:
        with self._guard:
            return self._database.execute("SELECT 1 FROM rows WHERE digest = ?", (digest,)).fetchone() is not None

    def lookup(self, digests: Sequence[bytes]) -> Int64[np.ndarray, " digests"]:
        """Row of each digest; -1 where it has not been encoded."""
        found: dict[bytes, int] = {}
        for start in range(0, len(digests), _LOOKUP_CHUNK):
            chunk = list(digests[start : start + _LOOKUP_CHUNK])
            marks = ",".join("?" * len(chunk))
            with self._guard:
                found.update(self._database.execute(f"SELECT digest, row FROM rows WHERE digest IN ({marks})", chunk).fetchall())
        return np.array([found.get(digest, ABSENT) for digest in digests], dtype=np.int64)

    def read(self, rows: Int64[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows d"]:
        """The vectors in these rows, copied out of the memory-mapped shards."""
        if len(rows) and int(rows.max()) >= self._count:
            with self._guard:  # a writer has added rows since this reader was opened
                self._count = self._committed_rows()
        vectors = np.empty((len(rows), self.dim), np.float32)
        shards = rows // self._rows_per_shard
        for shard in np.unique(shards):
            chosen = shards == shard
            vectors[chosen] = self._map(int(shard))[rows[chosen] - shard * self._rows_per_shard]
        return vectors

    def _map(self, shard: int) -> np.ndarray:
        rows = min(self._rows_per_shard, self._count - shard * self._rows_per_shard)
        with self._guard:
            known = self._maps.get(shard)
            if known is None or len(known) < rows:
                known = np.memmap(self._shard_path(shard), dtype="<f4", mode="r", shape=(rows, self.dim))
                self._maps[shard] = known
            return known

    def append(self, digests: Sequence[bytes], vectors: Float32[np.ndarray, "digests d"]) -> None:
        """Store one encoded batch, durably, all of it or nothing.

        Args:
            digests: SHA-256 of the files, distinct and not in the store.
            vectors: raw embeddings.
        """
        if self._lock is None:
            raise ValueError("this part of the store was opened for reading")
        if vectors.shape != (len(digests), self.dim):
            raise ValueError(f"vectors of shape {vectors.shape} for {len(digests)} digests of width {self.dim}")
        first = self._count
        self._write_rows(first, np.ascontiguousarray(vectors, dtype="<f4"))
        with self._guard:
            with self._transaction():
                self._database.executemany("INSERT INTO rows VALUES (?, ?)", zip(digests, range(first, first + len(digests)), strict=True))
                self._database.execute("INSERT INTO batches VALUES (?, ?, ?)", (first, len(digests), os.getpid()))
            self._count = first + len(digests)

    def _write_rows(self, first: int, vectors: np.ndarray) -> None:
        start = 0
        while start < len(vectors):
            shard, offset = divmod(first + start, self._rows_per_shard)
            part = vectors[start : start + self._rows_per_shard - offset]
            path = self._shard_path(shard)
            created = not path.exists()
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            with os.fdopen(handle, "r+b") as file:
                file.truncate(offset * self._row_bytes)
                file.seek(offset * self._row_bytes)
                file.write(part.data)
                file.flush()
                os.fsync(file.fileno())
            if created:
                sync(self.folder)
            start += len(part)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def batches(self) -> list[StoredBatch]:
        """Every committed batch, in the order of their rows."""
        with self._guard:
            return [StoredBatch(*row) for row in self._database.execute("SELECT first_row, count, process FROM batches ORDER BY first_row")]

    def _release(self) -> None:
        database = getattr(self, "_database", None)
        if database is not None:
            database.close()
        if self._lock is not None:
            self._lock.release()

    def close(self) -> None:
        """Let other processes write; what was read stays valid."""
        self._maps.clear()
        self._release()

    def __enter__(self) -> StorePart:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()
