"""Artefacts on disk: folders that are written once, atomically, under an id that is a digest of what made them."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, overload

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.core.files import REMOVED, FileLock, age, is_free, publish_folder, remove_folder, write_json
from cbm.core.paths import DEFAULT_WORKSPACE
from cbm.workspace.artifacts import RECORD, Artifact
from cbm.workspace.ids import ArtifactId, matching
from cbm.workspace.requests import KINDS, Kind, Request
from cbm.workspace.schema import SCHEMA_VERSION, first_request, request_record

FRESH_SECONDS = 60.0
"""A draft may be this young before its writer holds its lock."""
UNLOCKED_SECONDS = 24 * 3600.0
"""Drafts without a lock are those of earlier versions; one that nobody wrote to for a day was left behind."""
A = TypeVar("A", bound=Artifact)
_RECORDED_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "open_clip_torch", "safetensors")


@dataclass(frozen=True)
class Draft:
    """An artefact that is being written: files go into `path`, figures into `metrics`."""

    path: Path
    metrics: dict[str, Any] = field(default_factory=dict)


def artifact_id(kind: Kind, parameters: Mapping[str, Any], parents: Sequence[str] = ()) -> ArtifactId:
    """The id of what `create` makes of these."""
    return first_request(kind, parameters, [ArtifactId(parent) for parent in parents]).id


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

    @overload
    def list(self, of_kind: type[A]) -> list[A]: ...
    @overload
    def list(self, of_kind: str | None = None) -> list[Artifact]: ...
    def list(self, of_kind: Any = None) -> list[Any]:
        """All finished artefacts that can be read, oldest first; `damaged` has the others.

        Args:
            of_kind: the class of one kind, such as `ModelArtifact`; every kind when absent.
        """
        kind = _kind(of_kind)
        artifacts = [found for found in self._read_all() if isinstance(found, Artifact)]
        return sorted((a for a in artifacts if kind in (None, a.kind)), key=lambda a: (a.created, a.id))

    def damaged(self) -> tuple[CorruptArtifactError, ...]:
        """What is wrong with each artefact that cannot be read."""
        return tuple(found for found in self._read_all() if isinstance(found, CorruptArtifactError))

    def _read_all(self) -> Iterator[Artifact | CorruptArtifactError]:
        for file in sorted((self.root / "artifacts").glob(f"*/{RECORD}")):
            if not file.parent.name.startswith("."):
                try:
                    yield Artifact.read(file.parent)
                except CorruptArtifactError as error:
                    yield error

    @overload
    def get(self, prefix: str, of_kind: type[A]) -> A: ...
    @overload
    def get(self, prefix: str, of_kind: str | None = None) -> Artifact: ...
    def get(self, prefix: str, of_kind: Any = None) -> Any:
        """The artefact whose id, or the digits after its kind, start with `prefix`.

        Args:
            of_kind: the class of one kind, such as `ModelArtifact`; every kind when absent.

        Raises:
            NotFoundError: none, or more than one, fits.
        """
        kind = _kind(of_kind)
        present = [folder.name for folder in sorted((self.root / "artifacts").glob("*-*")) if not folder.name.startswith(".")]
        fitting = [name for name in matching(prefix, present) if kind in (None, ArtifactId(name).kind)]
        wanted = kind or "artefact"
        if not fitting:
            known = ", ".join(a.id for a in self.list(of_kind)[-5:]) or "none yet"
            raise NotFoundError(f"No {wanted} {prefix!r} in {self.root}. Known: {known}. See `cbm list`.")
        if len(fitting) > 1:
            raise NotFoundError(f"{prefix!r} fits {len(fitting)} artefacts ({', '.join(fitting[:5])}); give more digits.")
        return Artifact.read(self.root / "artifacts" / fitting[0])

    def has(self, identifier: str) -> bool:
        """Whether there is an artefact of exactly this id."""
        return ArtifactId(identifier).kind in KINDS and (self.root / "artifacts" / identifier / RECORD).is_file()

    @overload
    def find(self, request: Request[A], /) -> A | None: ...
    @overload
    def find(self, request: Kind, parameters: Mapping[str, Any], parents: Sequence[str] = (), /) -> Artifact | None: ...
    def find(self, request: Any, *rest: Any) -> Any:
        """The finished artefact of exactly this request, if there is one."""
        folder = self.root / "artifacts" / _request(request, *rest).id
        return Artifact.read(folder) if (folder / RECORD).is_file() else None

    @overload
    def create(self, request: Request[A], write: Callable[[Draft], None], /) -> A: ...
    @overload
    def create(self, request: Kind, parameters: Mapping[str, Any], parents: Sequence[str], write: Callable[[Draft], None], /) -> Any: ...
    def create(self, request: Any, *rest: Any) -> Any:
        """The artefact of this request: the finished one, or a new one whose files `write` puts into the draft.

        Nothing is visible under the id before `write` has returned and everything has reached the disk.

        Raises:
            NotFoundError: a parent is missing.
        """
        asked, write = _request(request, *rest[:-1]), rest[-1]
        finished = self.find(asked)
        if finished is not None:
            return finished
        for parent in asked.parents:
            self.get(parent)
        folder = self.root / "artifacts" / asked.id
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{asked.id}-", dir=folder.parent))
        lock = FileLock(_lock_of(temporary))
        lock.acquire()
        try:
            draft = Draft(temporary)
            write(draft)
            record = {
                **request_record(asked),
                "id": asked.id,
                "schema": SCHEMA_VERSION,
                "created": datetime.now(UTC).isoformat(timespec="microseconds"),
                "metrics": draft.metrics,
                "libraries": _library_versions(),
            }
            write_json(temporary / RECORD, record, sort_keys=True)
            publish_folder(temporary, folder, proof=RECORD)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            lock.release()
            _lock_of(temporary).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints(asked.id), ignore_errors=True)
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


def _kind(of_kind: type[Artifact] | str | None) -> str | None:
    if of_kind is None or isinstance(of_kind, str):
        return of_kind
    return None if of_kind is Artifact else of_kind.kind_name


def _request(request: Request[Any] | Kind, parameters: Mapping[str, Any] | None = None, parents: Sequence[str] = ()) -> Request[Any]:
    if isinstance(request, Request):
        return request
    if request not in KINDS:
        raise InvalidInputError(f"Unknown kind {request!r}; kinds are {', '.join(KINDS)}.")
    return first_request(request, parameters or {}, [ArtifactId(parent) for parent in parents])


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
