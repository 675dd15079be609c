"""What every part of the project does with arrays: rows of unit length, probabilities, and a file of arrays that can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from cbm.core.errors import CorruptArtifactError
from cbm.core.files import write_bytes

_SHORTEST = 1e-12


def unit_rows(rows: Float[np.ndarray, "*rows dim"]) -> Float32[np.ndarray, "*rows dim"]:
    """Rows divided by their length; rows of zeros stay zero.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, _SHORTEST), dtype=np.float32)


def softmax(logits: Float[np.ndarray, "*rows classes"]) -> Float32[np.ndarray, "*rows classes"]:
    """Rows of probabilities out of rows of logits.

    >>> softmax(np.array([[0.0, np.log(3.0)]]))
    array([[0.25, 0.75]], dtype=float32)
    """
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), dtype=np.float32)


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray], version: str) -> None:
    """Write named arrays that can always be made again as safetensors; `read_arrays` refuses them under another `version`."""
    from safetensors.numpy import save

    write_bytes(file, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, {"version": version}))


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
