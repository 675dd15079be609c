"""Vocabularies: candidate names with their text embeddings, as artefacts of a workspace."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from cbm.backbones.reference import BackboneReference
from cbm.core.arrays import unit_rows
from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.names.names import distinct_names, load_names, same_name_key
from cbm.workspace.artifacts import Artifact, VocabularyArtifact
from cbm.workspace.requests import EncodedNames, ImportedNames
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.backbones.backbone import Backbone

TENSORS_FILE = "vocabulary.safetensors"
NAMES_FILE = "names.json"
BARE_NAME = ("{}",)
"""The default prompt template: the name itself, as in DN-CBM; a centred rule removes what a template adds to every name."""
ENCODING_STEP = 2048

__all__ = ["Vocabulary", "build_vocabulary", "import_vocabulary", "load_names"]


@dataclass(frozen=True)
class Vocabulary:
    """Candidate names with their text embeddings."""

    names: tuple[str, ...]
    embeddings: Float32[np.ndarray, "names dim"]
    """Unit rows, not centred."""
    backbone: BackboneReference
    source: str
    """The list's name (`english`), or the name of the file it came from."""
    identifier: str | None = None
    """The artefact, where it is one."""

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.names):
            raise InvalidInputError(
                f"{len(self.names)} names do not fit embeddings of shape {self.embeddings.shape}; give one row for each name."
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dim(self) -> int:
        return int(self.embeddings.shape[1])

    @property
    def mean(self) -> Float32[np.ndarray, " dim"]:
        """The mean text embedding, which represents the text modality when names are compared with images."""
        return self.embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)

    @classmethod
    def load(cls, artifact: Artifact) -> Vocabulary:
        """The vocabulary that an artefact holds.

        Raises:
            CorruptArtifactError: its files are missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            record = json.loads((artifact.path / NAMES_FILE).read_text(encoding="utf-8"))
            embeddings = load_file(str(artifact.path / TENSORS_FILE))["embeddings"]
            return cls(tuple(record["names"]), embeddings, BackboneReference.from_dict(record["backbone"]), record["source"], artifact.id)
        except (KeyError, TypeError, ValueError, OSError, SafetensorError, InvalidInputError) as error:
            raise CorruptArtifactError(f"The vocabulary in {artifact.path} is damaged ({error}); remove it and make it again.") from error

    @classmethod
    def from_npz(cls, file: Path, backbone: BackboneReference) -> Vocabulary:
        """A precomputed vocabulary: an .npz with `embeddings` [V, d] and `names` [V].

        Of names that differ only in spelling the first is kept. Rows need not be normalised.

        Raises:
            NotFoundError: there is no such file.
            InvalidInputError: it is not such an .npz, the two do not fit, or an embedding is zero or not finite.
        """
        embeddings, names = _read_npz(file)
        rows: dict[str, int] = {}
        for row, name in enumerate(names):
            if distinct_names([name]):
                rows.setdefault(same_name_key(name), row)
        kept = list(rows.values())
        return cls(tuple(" ".join(names[row].split()) for row in kept), _usable_rows(embeddings[kept], file), backbone, file.name)


def build_vocabulary(
    workspace: Workspace,
    source: str | Path,
    backbone: Backbone,
    *,
    templates: Sequence[str] = BARE_NAME,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> VocabularyArtifact:
    """Encode a list of names with a backbone, or return the artefact that did so before.

    Args:
        source: `english`, `attributes`, `scenes`, a .txt file (one name per line) or an .npz of this backbone (`embeddings`, `names`).
        templates: prompts with one `{}` each, such as "a photo of a {}."; a name's embedding is the mean over them.

    Raises:
        NotFoundError: there is no such list or file.
        InvalidInputError: the file is malformed, or a template has no `{}`.
        Cancelled: `cancelled` said so; nothing is kept.
    """
    from cbm.core.errors import Cancelled

    reference = backbone.reference
    if Path(source).suffix == ".npz":
        return import_vocabulary(workspace, Path(source), reference, dim=backbone.dim)
    for template in templates:
        if template.count("{}") != 1:
            raise InvalidInputError(f"The template {template!r} needs exactly one {{}}, where the name goes.")
    names = load_names(source)
    label = Path(source).name
    request = EncodedNames(label, _digest("\n".join(names).encode()), reference.to_dict(), tuple(templates))

    def write(draft: Draft) -> None:
        parts = []
        for start in range(0, len(names), ENCODING_STEP):
            if cancelled is not None and cancelled():
                raise Cancelled(f"Cancelled after {start} of {len(names)} names; nothing was kept.")
            parts.append(np.asarray(backbone.encode_texts(names[start : start + ENCODING_STEP], templates=tuple(templates)), np.float32))
            if progress is not None:
                progress(Progress(min(start + ENCODING_STEP, len(names)), len(names), "encoding names"))
        _write(draft, Vocabulary(names, np.concatenate(parts), reference, label))

    return workspace.create(request, write)


def import_vocabulary(workspace: Workspace, file: Path, backbone: BackboneReference, *, dim: int | None = None) -> VocabularyArtifact:
    """Take over a precomputed vocabulary (.npz with `embeddings`, `names`) as vectors of `backbone`.

    Args:
        dim: the backbone's dimension, where it is known.

    Raises:
        NotFoundError, InvalidInputError: as `Vocabulary.from_npz`; also when the vectors have another dimension than `dim`.
    """
    vocabulary = Vocabulary.from_npz(file, backbone)
    if dim is not None and vocabulary.dim != dim:
        raise InvalidInputError(
            f"{file} has vectors of dimension {vocabulary.dim}, {backbone} makes {dim}; name the backbone they came from."
        )
    digest = _digest("\n".join(vocabulary.names).encode() + vocabulary.embeddings.tobytes())
    request = ImportedNames(file.name, digest, backbone.to_dict())
    return workspace.create(request, lambda draft: _write(draft, vocabulary))


def _write(draft: Draft, vocabulary: Vocabulary) -> None:
    from safetensors.numpy import save_file

    save_file({"embeddings": np.ascontiguousarray(vocabulary.embeddings)}, str(draft.path / TENSORS_FILE))
    record = {"names": vocabulary.names, "backbone": vocabulary.backbone.to_dict(), "source": vocabulary.source}
    (draft.path / NAMES_FILE).write_text(json.dumps(record, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    draft.metrics["count"] = len(vocabulary)
    draft.metrics["dim"] = vocabulary.dim


def _read_npz(file: Path) -> tuple[np.ndarray, list[str]]:
    if not file.is_file():
        raise NotFoundError(f"There is no vocabulary file {file}.")
    what: Any
    try:
        with np.load(file, allow_pickle=False) as archive:
            embeddings, what = archive["embeddings"], archive["names"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInputError(f"{file} is not an .npz with arrays `embeddings` [V, d] and `names` [V] of strings ({error}).") from error
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or what.shape != embeddings.shape[:1] or what.dtype.kind not in "US":
        raise InvalidInputError(
            f"{file} needs `embeddings` [V, d] of floats and `names` [V] of strings; "
            f"found {embeddings.dtype} {embeddings.shape} and {what.dtype} {what.shape}."
        )
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in what.tolist()]
    return embeddings.astype(np.float32), names


def _usable_rows(embeddings: np.ndarray, file: Path) -> Float32[np.ndarray, "names dim"]:
    lengths = np.linalg.norm(embeddings, axis=1)
    if len(embeddings) == 0 or not np.all(np.isfinite(lengths)) or not np.all(lengths > 0):
        raise InvalidInputError(f"{file} has no usable vectors: every embedding must be finite and not zero.")
    return unit_rows(embeddings)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
