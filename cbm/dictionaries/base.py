"""The one interface of everything that turns embeddings into sparse codes over learned directions, and back."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.codes import Codes
from cbm.core.errors import CorruptArtifactError, MismatchError, NotFoundError

SCHEMA = 1
SETTINGS_FILE = "dictionary.json"
TENSORS_FILE = "dictionary.safetensors"
CHUNK_ROWS = 1024
"""Rows encoded at a time, so that the dense activations of a chunk (16 MB at width 4096) stay near the cache."""

_KINDS = {
    "jumprelu": "cbm.dictionaries.jumprelu:JumpReluDictionary",
    "kmeans": "cbm.dictionaries.kmeans:KMeansDictionary",
    "pca": "cbm.dictionaries.pca:PcaDictionary",
    "random": "cbm.dictionaries.random:RandomDictionary",
    "neurons": "cbm.dictionaries.neurons:NeuronDictionary",
}


class Dictionary(ABC):
    """Directions in embedding space with a sparse encoder: a sparse autoencoder or a baseline.

    An encoder never looks at more than one embedding at a time: codes do not depend on the batch. Instances are immutable.
    """

    kind: ClassVar[str]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of latents."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of embedding dimensions."""

    @property
    @abstractmethod
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        """Unit rows: what each latent adds to a centred embedding."""

    @abstractmethod
    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes: ...

    @abstractmethod
    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        """Reconstructed embeddings, in the space of the embeddings that were encoded."""

    @abstractmethod
    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        """Responses of the chosen `latents` before any threshold or selection, for heat-maps over patch embeddings."""

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Everything learned, by name, as it is stored."""

    def settings(self) -> dict[str, Any]:
        """JSON-ready scalars that are stored beside the tensors."""
        return {}

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """The dictionary whose `tensors()` and `settings()` these are."""

    def encode(self, embeddings: Float[np.ndarray, "batch dim"]) -> Codes:
        """Sparse codes of `embeddings`, in chunks; dense activations never exceed `CHUNK_ROWS` rows.

        Raises:
            MismatchError: the embeddings have another dimension than the dictionary.
        """
        parts = [self._encode_chunk(chunk) for chunk in self._chunks(embeddings)]
        if not parts:
            return Codes(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32), self.size)
        return Codes.concatenate(parts)

    def _chunks(self, embeddings: np.ndarray) -> Iterator[Float32[np.ndarray, "batch dim"]]:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise MismatchError(
                f"Embeddings of shape {tuple(embeddings.shape)} do not fit a dictionary of dimension {self.dim}; "
                "use embeddings of the backbone and space that the dictionary was trained on."
            )
        for start in range(0, len(embeddings), CHUNK_ROWS):
            # Chunk by chunk, so that a memory map of any size and a float16 array are never copied whole.
            yield np.ascontiguousarray(embeddings[start : start + CHUNK_ROWS], dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write `dictionary.json` and `dictionary.safetensors` into `folder`, which is made if it does not exist."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in self.tensors().items()}, str(folder / TENSORS_FILE))
        header = {"schema": SCHEMA, "kind": self.kind, "size": self.size, "dim": self.dim, "settings": self.settings()}
        (folder / SETTINGS_FILE).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")


def load_dictionary(folder: Path) -> Dictionary:
    """The dictionary that `Dictionary.save` wrote into `folder`.

    Raises:
        NotFoundError: there is no dictionary in `folder`.
        CorruptArtifactError: its files are damaged, or written by a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / SETTINGS_FILE).is_file():
        raise NotFoundError(f"There is no dictionary in {folder}: {SETTINGS_FILE} is missing.")
    try:
        header = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        if header["schema"] != SCHEMA or header["kind"] not in _KINDS:
            raise CorruptArtifactError(
                f"{folder / SETTINGS_FILE} holds schema {header['schema']}, kind {header['kind']!r}; this version reads schema {SCHEMA}, "
                f"kinds {', '.join(_KINDS)}. Install the version that wrote it."
            )
        module, name = _KINDS[header["kind"]].split(":")
        dictionary_class: type[Dictionary] = getattr(importlib.import_module(module), name)
        dictionary = dictionary_class.from_tensors(load_file(str(folder / TENSORS_FILE)), header["settings"])
        if (dictionary.size, dictionary.dim) != (header["size"], header["dim"]):
            raise ValueError(f"tensors of size {dictionary.size} x {dictionary.dim}, header {header['size']} x {header['dim']}")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise CorruptArtifactError(f"The dictionary in {folder} is damaged ({error}); train or export it again.") from error
    return dictionary
