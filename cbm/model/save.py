"""Writing a concept model: into a workspace's draft, or as a bundle that is complete on its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import InvalidInputError
from cbm.core.files import publish_folder
from cbm.core.version import __version__
from cbm.dictionaries.jumprelu import as_jumprelu
from cbm.model.bundle_files import (
    CARD,
    CONFIG,
    DICTIONARY,
    LIBRARY,
    ONNX,
    RECIPE,
    SAELENS,
    SCHEMA_VERSION,
    TENSORS,
    is_bundle,
    names_digest,
    to_json,
    write_sums,
)
from cbm.model.card import write_card
from cbm.model.concept_model import ConceptModel
from cbm.model.onnx import OnnxCheck, export_onnx
from cbm.registry import BOTTLENECKS

FORMATS = ("bundle", "onnx", "saelens")


@dataclass(frozen=True)
class BundleReport:
    """What an export wrote."""

    folder: Path
    files: tuple[str, ...]
    """Relative to `folder`, in order."""
    max_abs_difference: float | None
    """Largest difference between the logits of the ONNX graph and the model's; None where no graph was asked for."""
    check: OnnxCheck | None


def save_bundle(
    model: ConceptModel,
    folder: str | Path,
    formats: Sequence[str] = FORMATS,
    *,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    check_on: Float32[np.ndarray, "rows dim"] | None = None,
) -> BundleReport:
    """Export a model as a folder that works without the workspace, and (as ONNX) without this project.

    The folder appears whole or not at all; an older bundle of the same name is replaced, anything else is left alone.

    Args:
        formats: the bundle is always written; `onnx` and `saelens` add `model.onnx` and `saelens/`.
        data: what the model was trained and measured on, for the card; `model.method["data"]` when absent.
        metrics: figures with their baselines, for the card; `model.method["metrics"]` when absent.
        check_on: embeddings on which the ONNX graph is compared with the model; random ones when absent.

    Raises:
        InvalidInputError: an unknown format, a dictionary that the format cannot hold, or a folder that is something else.
        ExportError: the ONNX graph computes something else than the model.
    """
    folder = Path(folder).expanduser().absolute()
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise InvalidInputError(f"Unknown export format {unknown[0]!r}; formats are {', '.join(FORMATS)}.")
    if {"onnx", "saelens"} & set(formats):
        as_jumprelu(model.bottleneck)
    _refuse_to_overwrite(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        check = write_model(model, temporary, formats, data=data, metrics=metrics, check_on=check_on)
        files = tuple(sorted(file.relative_to(temporary).as_posix() for file in temporary.rglob("*") if file.is_file()))
        _publish(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return BundleReport(folder, files, check.max_abs_difference if check else None, check)


def write_model(
    model: ConceptModel,
    folder: Path,
    formats: Sequence[str] = ("bundle",),
    *,
    data: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    check_on: Float32[np.ndarray, "rows dim"] | None = None,
) -> OnnxCheck | None:
    """Write the files of a bundle into an existing folder, such as the draft of a workspace's model artefact. See `save_bundle`."""
    from safetensors.numpy import save_file

    if model.bottleneck.kind not in BOTTLENECKS:
        raise InvalidInputError(
            f"A bottleneck of type {type(model.bottleneck).__name__} cannot be saved; only those of cbm.registry.BOTTLENECKS can."
        )
    data = dict(model.method.get("data", {}) if data is None else data)
    metrics = dict(model.method.get("metrics", {}) if metrics is None else metrics)
    (folder / CONFIG).write_text(to_json(_config(model, data, metrics)), encoding="utf-8")
    save_file({"head.weight": np.ascontiguousarray(model.head.weight), "head.bias": model.head.bias}, str(folder / TENSORS))
    model.bottleneck.save(folder / DICTIONARY)
    model.concepts.save(folder)
    (folder / RECIPE).write_text(model.recipe.to_json(), encoding="utf-8")
    check = export_onnx(model, folder / ONNX, check_on) if "onnx" in formats else None
    if "saelens" in formats:
        from cbm.dictionaries.saelens import save_saelens

        save_saelens(
            as_jumprelu(model.bottleneck),
            folder / SAELENS,
            model_name=f"{model.backbone.architecture}/{model.backbone.pretrained}" if model.backbone else "",
            normalise_inputs=model.space == "l2",
            metadata={"space": model.space, "names": list(model.names)},
        )
    (folder / CARD).write_text(write_card(model, data, metrics, frozenset(formats), check), encoding="utf-8")
    write_sums(folder)
    return check


def _config(model: ConceptModel, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema": SCHEMA_VERSION,
        "library": LIBRARY,
        "version": __version__,
        "backbone": model.backbone.to_dict() if model.backbone else None,
        "space": model.space,
        "dictionary": {"kind": model.bottleneck.kind, "dim": model.bottleneck.dim, "size": model.bottleneck.size},
        "head": {"kind": model.head.kind, "nec": model.head.nec, "details": dict(model.head.details)},
        "classes": list(model.classes),
        "concept_names_sha256": names_digest(model.concepts.names),
        "method": dict(model.method),
        "data": data,
        "metrics": metrics,
    }


def _refuse_to_overwrite(folder: Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InvalidInputError(f"{folder} exists and is not a folder; choose another name for the bundle.")
    if any(folder.iterdir()) and not is_bundle(folder):
        raise InvalidInputError(
            f"{folder} contains something other than an exported bundle, so it is not replaced; choose another name or empty it."
        )


def _publish(temporary: Path, folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        publish_folder(temporary, folder, proof=CONFIG)
        return
    older = Path(tempfile.mkdtemp(prefix=f".{folder.name}-older-", dir=folder.parent)) / folder.name
    folder.rename(older)
    try:
        publish_folder(temporary, folder, proof=CONFIG)
    except BaseException:
        older.rename(folder)
        raise
    finally:
        shutil.rmtree(older.parent, ignore_errors=True)
