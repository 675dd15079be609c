"""Reading a bundle, or a workspace's model artefact, after checking every byte that is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbm.backbones.reference import BackboneReference
from cbm.bottlenecks.base import load_bottleneck
from cbm.core.bottleneck import Bottleneck
from cbm.core.errors import CbmError, CorruptArtifactError, NotFoundError
from cbm.editing.recipe import Recipe
from cbm.heads.base import LinearHead
from cbm.model.bundle_files import DICTIONARY, RECIPE, TENSORS, read_config, verify_sums
from cbm.names.concepts import ConceptTable


@dataclass(frozen=True)
class ModelParts:
    """What a bundle holds, read and not yet put together: the fields of a `ConceptModel`."""

    bottleneck: Bottleneck
    head: LinearHead
    concepts: ConceptTable
    classes: tuple[str, ...]
    recipe: Recipe
    backbone: BackboneReference | None
    space: str
    method: Mapping[str, Any]


def unfit(folder: Path, error: Exception) -> CorruptArtifactError:
    """What to say of parts that were read but do not belong together."""
    return CorruptArtifactError(f"The bundle {folder} does not fit together ({error}). Export the model again.")


def read_parts(folder: Path) -> ModelParts:
    """The parts of the model in `folder`; `ConceptModel.load` puts them together.

    Raises:
        NotFoundError: there is no such folder.
        CorruptArtifactError: a file is missing, changed, or of a newer version; the message says which.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    if not folder.is_dir():
        raise NotFoundError(f"There is no bundle {folder}; give the folder that `cbm export` made.")
    verify_sums(folder)
    config = read_config(folder)
    try:
        tensors = load_file(str(folder / TENSORS))
        for record in (config["method"], config["head"]["details"]):
            if not isinstance(record, dict):
                raise TypeError(f"method and head details must be objects, not {record!r}"[:100])
        if not isinstance(config["classes"], list) or not all(isinstance(name, str) for name in config["classes"]):
            raise TypeError("classes must be a list of names")
        return ModelParts(
            bottleneck=load_bottleneck(folder / DICTIONARY),
            head=LinearHead(tensors["head.weight"], tensors["head.bias"], config["head"]["kind"], config["head"]["details"]),
            concepts=ConceptTable.load(folder),
            classes=tuple(config["classes"]),
            recipe=Recipe.from_json((folder / RECIPE).read_text(encoding="utf-8")),
            backbone=BackboneReference.from_dict(config["backbone"]) if config["backbone"] else None,
            space=config["space"],
            method=config["method"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OSError, SafetensorError, CbmError) as error:
        raise unfit(folder, error) from error
