"""Artefacts on disk: folders that are written once, atomically, under an id that is a digest of what made them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.core.files import REMOVED, FileLock, age, is_free, publish_folder, remove_folder, write_json
from cbm.core.paths import DEFAULT_WORKSPACE

SCHEMA_VERSION = 1
KINDS = ("embeddings", "vocabulary", "dictionary", "concepts", "model")
FRESH_SECONDS = 60.0
"""A draft may be this young before its writer holds its lock."""
UNLOCKED_SECONDS = 24 * 3600.0
"""Drafts without a lock are those of earlier versions; one that nobody wrote to for a day was left behind."""
_RECORDED_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "open_clip_torch", "safetensors")


@dataclass(frozen=True)
class Artifact:
    """One finished folder of the workspace."""

    kind: str
    id: str
    path: Path
    created: str
    parameters: Mapping[str, Any]
    parents: tuple[str, ...]
    metrics: Mapping[str, Any]
    libraries: Mapping[str, str]
    schema: int = SCHEMA_VERSION

    @classmethod
    def read(cls, folder: Path) -> Artifact:
        try:
            record = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))
            if record["schema"] != SCHEMA_VERSION:
                raise CorruptArtifactError(
                    f"{folder} has schema {record['schema']}, this version reads {SCHEMA_VERSION}; make the artefact again."
                )
            return cls(
                kind=record["kind"],
                id=record["id"],
                path=folder,
                created=record["created"],
                parameters=record["parameters"],
                parents=tuple(record["parents"]),
                metrics=record["metrics"],
                libraries=record["libraries"],
            )
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise CorruptArtifactError(f"{folder} is not a readable artefact ({error}); remove the folder and make it again.") from error


@dataclass(frozen=True)
class Draft:
    """An artefact that is being written: files go into `path`, figures into `metrics`."""

    path: Path
    metrics: dict[str, Any] = field(default_factory=dict)


def artifact_id(kind: str, parameters: Mapping[str, Any], parents: Sequence[str] = ()) -> str:
    """The id that `create` gives: kind, then 16 hexadecimal digits of a digest of kind, parameters and parents."""
    request = json.dumps([SCHEMA_VERSION, kind, parameters, list(parents)], sort_keys=True, separators=(",", ":"))
    return f"{kind}-{hashlib.sha256(request.encode()).hexdigest()[:16]}"


class Workspace:
    """A folder that holds every artefact.

    Args:
        root: the folder; `CBM_WORKSPACE`, then `data/workspace` of the checkout, when absent.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root or os.environ.get("CBM_WORKSPACE") or DEFAULT_WORKSPACE).expanduser().absolute()

    @property
    def store(self) -> Path:
        """Where the embedding store keeps its shards and manifest."""
        return self.root / "store"

    @property
    def uploads(self) -> Path:
        """Where the app keeps what visitors upload; what a file in it says is a stranger's word."""
        return self.root / "uploads"

    def checkpoints(self, identifier: str) -> Path:
        """Where the work on an unfinished artefact may leave what it needs to resume; removed when the artefact is finished."""
        return self.root / "checkpoints" / identifier

    def list(self, kind: str | None = None) -> list[Artifact]:
        """All finished artefacts that can be read, oldest first; `damaged` has the others."""
        artifacts = [found for found in self._read_all() if isinstance(found, Artifact)]
        return sorted((a for a in artifacts if kind in (None, a.kind)), key=lambda a: (a.created, a.id))

    def damaged(self) -> tuple[CorruptArtifactError, ...]:
        """What is wrong with each artefact that cannot be read."""
        return tuple(found for found in self._read_all() if isinstance(found, CorruptArtifactError))

    def _read_all(self) -> Iterator[Artifact | CorruptArtifactError]:
        for file in sorted((self.root / "artifacts").glob("*/artifact.json")):
            if not file.parent.name.startswith("."):
                try:
                    yield Artifact.read(file.parent)
                except CorruptArtifactError as error:
                    yield error

    def get(self, prefix: str, kind: str | None = None) -> Artifact:
        """The artefact whose id, or the digits after its kind, start with `prefix`.

        Raises:
            NotFoundError: none, or more than one, fits.
        """
        fitting = [
            folder
            for folder in sorted((self.root / "artifacts").glob("*-*"))
            if not folder.name.startswith(".") and (folder.name.startswith(prefix) or folder.name.partition("-")[2].startswith(prefix))
            if prefix and kind in (None, folder.name.partition("-")[0])
        ]
        exact = [folder for folder in fitting if folder.name == prefix]
        fitting = exact or fitting
        wanted = kind or "artefact"
        if not fitting:
            known = ", ".join(a.id for a in self.list(kind)[-5:]) or "none yet"
            raise NotFoundError(f"No {wanted} {prefix!r} in {self.root}. Known: {known}. See `cbm list`.")
        if len(fitting) > 1:
            names = ", ".join(folder.name for folder in fitting[:5])
            raise NotFoundError(f"{prefix!r} fits {len(fitting)} artefacts ({names}); give more digits.")
        return Artifact.read(fitting[0])

    def find(self, kind: str, parameters: Mapping[str, Any], parents: Sequence[str] = ()) -> Artifact | None:
        """The finished artefact of exactly this request, if there is one."""
        folder = self.root / "artifacts" / artifact_id(kind, parameters, parents)
        return Artifact.read(folder) if (folder / "artifact.json").is_file() else None

    def create(
        self,
        kind: str,
        parameters: Mapping[str, Any],
        parents: Sequence[str],
        write: Callable[[Draft], None],
    ) -> Artifact:
        """The artefact of this request: the finished one, or a new one whose files `write` puts into the draft.

        Nothing is visible under the id before `write` has returned and everything has reached the disk.

        Raises:
            NotFoundError: a parent is missing.
        """
        if kind not in KINDS:
            raise InvalidInputError(f"Unknown kind {kind!r}; kinds are {', '.join(KINDS)}.")
        finished = self.find(kind, parameters, parents)
        if finished is not None:
            return finished
        for parent in parents:
            self.get(parent)
        identifier = artifact_id(kind, parameters, parents)
        folder = self.root / "artifacts" / identifier
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{identifier}-", dir=folder.parent))
        lock = FileLock(_lock_of(temporary))
        lock.acquire()
        try:
            draft = Draft(temporary)
            write(draft)
            record = {
                "kind": kind,
                "id": identifier,
                "schema": SCHEMA_VERSION,
                "created": datetime.now(UTC).isoformat(timespec="microseconds"),
                "parameters": parameters,
                "parents": list(parents),
                "metrics": draft.metrics,
                "libraries": _library_versions(),
            }
            write_json(temporary / "artifact.json", record, sort_keys=True)
            publish_folder(temporary, folder, proof="artifact.json")
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            lock.release()
            _lock_of(temporary).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints(identifier), ignore_errors=True)
        return Artifact.read(folder)

    def remove(self, identifier: str) -> None:
        """Delete one artefact.

        Raises:
            InvalidInputError: others were made from it; they would lose their parent.
        """
        artifact = self.get(identifier)
        children = [a.id for a in self.list() if artifact.id in a.parents]
        if children:
            raise InvalidInputError(f"{artifact.id} is the parent of {', '.join(children[:3])}; remove those first.")
        remove_folder(artifact.path)

    def sweep(self) -> int:
        """Remove what killed processes left half written or half removed; returns how many folders that were. Live writers are safe."""
        swept = 0
        for path in sorted((self.root / "artifacts").glob(".*")):
            if path.is_dir() and (path.name.startswith(REMOVED) or _abandoned(path)):
                shutil.rmtree(path, ignore_errors=True)
                _lock_of(path).unlink(missing_ok=True)
                swept += 1
            elif path.suffix == ".lock" and not path.with_suffix("").is_dir() and age(path) > FRESH_SECONDS and is_free(path):
                path.unlink(missing_ok=True)
        return swept


def _lock_of(draft: Path) -> Path:
    """Held by whoever writes the draft; beside it, so that it is not published with it."""
    return draft.with_name(f"{draft.name}.lock")


def _abandoned(draft: Path) -> bool:
    lock = _lock_of(draft)
    if lock.is_file():
        return age(lock) > FRESH_SECONDS and is_free(lock)
    return min(age(path) for path in (draft, *draft.rglob("*"))) > UNLOCKED_SECONDS


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in _RECORDED_LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
