"""What lies in a bundle, and the checksums that tell whether it still does."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cbm.core.errors import CorruptArtifactError, InvalidInputError

SCHEMA_VERSION = 1
LIBRARY = "cbm-studio"
CONFIG = "config.json"
TENSORS = "model.safetensors"
CONCEPTS = "concepts.parquet"
RECIPE = "recipe.json"
CARD = "README.md"
SUMS = "SHA256SUMS"
ONNX = "model.onnx"
SAELENS = "saelens"
DICTIONARY = "dictionary"
REQUIRED = (CONFIG, TENSORS, CONCEPTS, RECIPE, f"{DICTIONARY}/dictionary.json", f"{DICTIONARY}/dictionary.safetensors")

_SUM_LINE = re.compile(r"^([0-9a-f]{64})  (.+)$")


def write_sums(folder: Path) -> tuple[str, ...]:
    """Write `SHA256SUMS` (as `sha256sum -c` reads it) over all files below `folder`; returns their names, itself included."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file() and file.name != SUMS)
    (folder / SUMS).write_text("".join(f"{_digest(folder / name)}  {name}\n" for name in names), encoding="utf-8")
    return (*names, SUMS)


def verify_sums(folder: Path) -> None:
    """Make sure that every file in `SHA256SUMS` is as it was written and that no required one is left out.

    Files that are not listed are not looked at (a workspace keeps its own record beside a model), and are never read by the loader.

    Raises:
        CorruptArtifactError: says which file, and what is wrong with it.
    """
    if not (folder / SUMS).is_file():
        raise CorruptArtifactError(f"{folder} is not a complete bundle: {SUMS} is missing. Export the model again.")
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CorruptArtifactError(f"{folder / SUMS} is damaged ({error}). Export the model again.") from error
    listed = set()
    for number, line in enumerate(lines, 1):
        match = _SUM_LINE.match(line)
        if match is None:
            raise CorruptArtifactError(f"{folder / SUMS} line {number} is not a checksum: {line[:80]!r}. Export the model again.")
        digest, name = match.groups()
        file = _inside(folder, name)
        if not file.is_file():
            raise CorruptArtifactError(f"{folder} lacks {name}, which {SUMS} lists. Copy the whole bundle again.")
        if _digest(file) != digest:
            raise CorruptArtifactError(f"{file} differs from its checksum: it was changed or damaged. Copy or export the bundle again.")
        listed.add(name)
    missing = [name for name in REQUIRED if name not in listed]
    if missing:
        raise CorruptArtifactError(f"{folder / SUMS} does not list {missing[0]}, which every bundle has. Export the model again.")


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed `config.json` of a bundle that this version can read.

    Raises:
        CorruptArtifactError: not JSON, not of this library, or of a newer schema.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{folder / CONFIG} cannot be read ({error}). Export the model again.") from error
    if not isinstance(config, dict) or config.get("library") != LIBRARY:
        raise CorruptArtifactError(f'{folder / CONFIG} is not of a {LIBRARY} bundle: its field library is not "{LIBRARY}".')
    if config.get("schema") != SCHEMA_VERSION:
        raise CorruptArtifactError(
            f"{folder / CONFIG} has schema {config.get('schema')!r}; this version reads {SCHEMA_VERSION}. "
            f"Update {LIBRARY}, or export the model again."
        )
    return config


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like an exported bundle, so that exporting again may replace it; a workspace's artefact does not."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = isinstance(config, dict) and config.get("library") == LIBRARY
    return named and (folder / SUMS).is_file() and not (folder / "artifact.json").exists()


def to_json(value: Any) -> str:
    """Indented JSON of plain values and numpy scalars.

    Raises:
        InvalidInputError: something in `value` has no place in JSON.
    """
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=_plain, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"The model's method, data and metrics must be plain values that JSON can hold: {error}.") from error


def names_digest(names: Sequence[str]) -> str:
    """SHA-256 of a list of names, to tell whether two models speak of the same ones."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}"[:100])


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _inside(folder: Path, name: str) -> Path:
    """The file that a check-sum line names, which must lie in the bundle and be no link out of it."""
    parts = PurePosixPath(name).parts
    leaves = PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or ":" in name or "\0" in name
    if leaves or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise CorruptArtifactError(f"{folder / SUMS} names {name!r}, which lies outside the bundle. Do not use this bundle.")
    return folder / name
