"""Training state on disk: everything that the next step depends on, so that a resumed training ends in the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from cbm.core.errors import CorruptArtifactError, MismatchError
from cbm.core.files import whole_file

_SCHEMA = 1


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and JSON-ready scalars."""

    tensors: Mapping[str, torch.Tensor]
    scalars: Mapping[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint, identity: str) -> None:
    """Write a checkpoint; a killed process leaves the old one or the new one."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    metadata = {"schema": str(_SCHEMA), "identity": identity, "scalars": json.dumps(dict(checkpoint.scalars))}
    with whole_file(path) as draft:
        save_file(tensors, str(draft), metadata)


def read_checkpoint(path: Path, identity: str) -> Checkpoint | None:
    """The checkpoint at `path`, or None if there is none.

    Raises:
        MismatchError: it belongs to other embeddings or another configuration.
        CorruptArtifactError: it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata()
            found = (metadata["schema"], metadata["identity"])
            scalars = json.loads(metadata["scalars"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"The training checkpoint {path} is damaged ({error}); remove it and train from the start.") from error
    if found != (str(_SCHEMA), identity):
        raise MismatchError(f"The training checkpoint {path} belongs to other embeddings or settings; remove it or train elsewhere.")
    return Checkpoint(tensors, scalars)


def training_identity(configuration: Mapping[str, Any], mean: Float32[np.ndarray, " dim"], scale: float, count: int) -> str:
    """Digest of what a training is: its settings, and its embeddings by count, mean and scale."""
    digest = hashlib.sha256(json.dumps(dict(configuration), sort_keys=True).encode())
    digest.update(mean.tobytes())
    digest.update(json.dumps([scale, count]).encode())
    return digest.hexdigest()
