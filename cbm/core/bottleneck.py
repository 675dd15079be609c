"""The contract of everything that turns embeddings into sparse concept activations; a dictionary is one such thing."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.codes import Codes
from cbm.core.errors import CorruptArtifactError, MismatchError, NotFoundError

SCHEMA = 1
SETTINGS_FILE = "dictionary.json"
TENSORS_FILE = "dictionary.safetensors"
"""Both are called so for every kind of bottleneck: bundles and workspaces are full of them."""
CHUNK_ROWS = 1024
"""Rows encoded at a time, so that the dense activations of a chunk (16 MB at width 4096) stay near the cache."""


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a bottleneck can do beyond encoding; whoever needs something asks for it here, never for a type."""

    directions: bool = False
    """`directions` gives each concept a direction in embedding space: maps, near duplicates and merges are made of these."""
    decodes: bool = False
    """`decode` reconstructs embeddings from codes, so that reconstruction can be measured."""
    patches: bool = False
    """`preactivations` responds to patch embeddings as to an image's, so that heat-maps say where a concept is."""
    supervised: bool = False
    """Its concepts were learned from labels or given by name, not discovered."""
    dense: bool = False
    """Nearly every concept is active for every image."""
    jumprelu: bool = False
    """It is z = h · 1[h > θ] of one affine map h, which is what ONNX and SAELens exports hold; see `cbm.dictionaries.jumprelu`."""


class Bottleneck(ABC):
    """Maps an embedding to concept activations.

    An encoder never looks at more than one embedding at a time: codes do not depend on the batch. Instances are immutable. What is
    stored of one is `tensors()` and `settings()`; `cbm.registry.BOTTLENECKS` finds the class by `kind` when it is loaded.
    """

    kind: ClassVar[str] = ""
    """By which it is found when it is loaded; without one it cannot be saved in a model."""
    summary: ClassVar[str] = ""
    """One line in the user's words."""
    abilities: ClassVar[Abilities] = Abilities()

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of concepts."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of embedding dimensions."""

    @property
    def names(self) -> tuple[str, ...]:
        """What the method itself calls its concepts: numbers, where it discovers them without names."""
        return tuple(f"concept {number}" for number in range(self.size))

    @abstractmethod
    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes: ...

    @abstractmethod
    def tensors(self) -> dict[str, np.ndarray]:
        """Everything learned, by name, as it is stored."""

    def settings(self) -> dict[str, Any]:
        """JSON-ready values that are stored beside the tensors."""
        return {}

    @classmethod
    @abstractmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        """The bottleneck whose `tensors()` and `settings()` these are."""

    @property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        """Unit rows: what each concept adds to a centred embedding; see `abilities.directions`."""
        raise self._unable("directions")

    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        """Reconstructed embeddings, in the space of the embeddings that were encoded; see `abilities.decodes`."""
        raise self._unable("decoder")

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        """Responses of the chosen concepts before any threshold or selection; see `abilities.patches`."""
        raise self._unable("responses to patches")

    def encode(self, embeddings: Float[np.ndarray, "batch dim"]) -> Codes:
        """Sparse codes of `embeddings`, in chunks; dense activations never exceed `CHUNK_ROWS` rows.

        Raises:
            MismatchError: the embeddings have another dimension than the bottleneck.
        """
        parts = [self._encode_chunk(chunk) for chunk in self._chunks(embeddings)]
        if not parts:
            return Codes(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32), self.size)
        return Codes.concatenate(parts)

    def save(self, folder: Path) -> None:
        """Write `dictionary.json` and `dictionary.safetensors` into `folder`, which is made if it does not exist."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in self.tensors().items()}, str(folder / TENSORS_FILE))
        header = {"schema": SCHEMA, "kind": self.kind, "size": self.size, "dim": self.dim, "settings": self.settings()}
        (folder / SETTINGS_FILE).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")

    def _chunks(self, embeddings: np.ndarray) -> Iterator[Float32[np.ndarray, "batch dim"]]:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            raise MismatchError(
                f"Embeddings of shape {tuple(embeddings.shape)} do not fit a dictionary of dimension {self.dim}; "
                "use embeddings of the backbone and space that the dictionary was trained on."
            )
        for start in range(0, len(embeddings), CHUNK_ROWS):
            # Chunk by chunk, so that a memory map of any size and a float16 array are never copied whole.
            yield np.ascontiguousarray(embeddings[start : start + CHUNK_ROWS], dtype=np.float32)

    def _unable(self, what: str) -> MismatchError:
        return MismatchError(f"A bottleneck of kind {self.kind!r} has no {what}; use one that has.")


class Kinds(Protocol):
    """What `cbm.registry.BOTTLENECKS` is to a reader."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def __contains__(self, kind: str) -> bool: ...

    def __getitem__(self, kind: str) -> type[Bottleneck]: ...


def stored_size(folder: Path) -> int | None:
    """`size` of the bottleneck saved in `folder`, without loading it; None where that cannot be read."""
    try:
        return int(json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))["size"])
    except (OSError, KeyError, TypeError, ValueError):
        return None


def read_bottleneck(folder: Path, kinds: Kinds) -> Bottleneck:
    """The bottleneck that `Bottleneck.save` wrote into `folder`.

    Raises:
        NotFoundError: there is none in `folder`.
        CorruptArtifactError: its files are damaged, or written by a newer version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not (folder / SETTINGS_FILE).is_file():
        raise NotFoundError(f"There is no dictionary in {folder}: {SETTINGS_FILE} is missing.")
    try:
        header = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        if header["schema"] != SCHEMA or header["kind"] not in kinds:
            raise CorruptArtifactError(
                f"{folder / SETTINGS_FILE} holds schema {header['schema']}, kind {header['kind']!r}; this version reads schema {SCHEMA}, "
                f"kinds {', '.join(kinds.names)}. Install the version that wrote it."
            )
        bottleneck = kinds[header["kind"]].from_tensors(load_file(str(folder / TENSORS_FILE)), header["settings"])
        if (bottleneck.size, bottleneck.dim) != (header["size"], header["dim"]):
            raise ValueError(f"tensors of size {bottleneck.size} x {bottleneck.dim}, header {header['size']} x {header['dim']}")
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise CorruptArtifactError(f"The dictionary in {folder} is damaged ({error}); train or export it again.") from error
    return bottleneck
