"""Named arrays in one file that can always be made again: written whole or not at all, refused when damaged or of another version."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cbm.core.errors import CorruptArtifactError


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray], version: str) -> None:
    """Write arrays as safetensors, under a temporary name first."""
    from safetensors.numpy import save

    file.parent.mkdir(parents=True, exist_ok=True)
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"version": version})
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_arrays(file: Path, names: Sequence[str], version: str) -> dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote.

    Raises:
        CorruptArtifactError: the file is missing, damaged, of another version, or lacks one of the names.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            if (opened.metadata() or {}).get("version") != version:
                raise CorruptArtifactError(f"{file} is of another version; it can be removed.")
            return {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CorruptArtifactError(f"{file} cannot be read ({error}); it can be removed.") from error
