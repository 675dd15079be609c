"""A float32 matrix in a safetensors file: written in chunks, read through a memory map."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import CorruptArtifactError

TENSOR = "embeddings"
_ALIGNMENT = 8


def write_vectors(path: Path, chunks: Iterable[Float32[np.ndarray, "_ d"]], rows: int, dim: int) -> None:
    """Write `rows` vectors of width `dim` as the safetensors tensor `embeddings`, holding one chunk in memory at a time."""
    header = json.dumps({TENSOR: {"dtype": "F32", "shape": [rows, dim], "data_offsets": [0, rows * dim * 4]}}).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    written = 0
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for chunk in chunks:
            if chunk.ndim != 2 or chunk.shape[1] != dim:
                raise ValueError(f"a chunk of shape {chunk.shape} does not fit vectors of width {dim}")
            file.write(np.ascontiguousarray(chunk, dtype="<f4").data)
            written += len(chunk)
    if written != rows:
        raise ValueError(f"{written} vectors were given where {rows} were announced")


def read_vectors(path: Path) -> Float32[np.ndarray, "rows d"]:
    """The matrix in `path` as a read-only memory map.

    Raises:
        CorruptArtifactError: the file is missing, cut short, or holds no float32 matrix of that name.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is longer than the file")
            entry = json.loads(file.read(length))[TENSOR]
        (rows, dim), (start, stop) = entry["shape"], entry["data_offsets"]
        if entry["dtype"] != "F32" or stop - start != rows * dim * 4 or 8 + length + stop > path.stat().st_size:
            raise ValueError("it is cut short or not float32")
        if rows * dim == 0:
            return np.zeros((rows, dim), np.float32)
        return np.memmap(path, dtype="<f4", mode="r", offset=8 + length + start, shape=(rows, dim))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"{path} is not a readable matrix of embeddings ({error}); make the artefact again.") from error
