"""What an export of a concept model will hold, its card, and the export itself as one checked .zip."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.editing.recipe import Recipe
from cbm.model.bundle_archive import pack
from cbm.model.card import write_card
from cbm.model.concept_model import ConceptModel
from cbm.model.save import FORMATS, save_bundle
from cbm.workspace.ids import short

CHECK_ROWS = 256
TOLERANCE = 1e-5
"""Largest difference of logits, exported against native, that passes."""
_CONCEPT_BYTES = 70
"""Of one row of the concept table, about."""

ABOUT = {
    "bundle": ("Bundle", "Everything CBM Studio needs to predict, explain and edit: always included."),
    "onnx": ("ONNX", "One graph from embeddings to class scores and concepts, your edits folded in; runs without this project."),
    "saelens": ("SAELens", "The dictionary alone, in the layout that SAELens loads."),
}


@dataclass(frozen=True)
class PlannedFile:
    """One file or folder of an export."""

    name: str
    size: int
    """In bytes, about."""
    what: str


@dataclass(frozen=True)
class BuiltExport:
    """A finished export as one .zip."""

    data: bytes
    file_name: str
    files: tuple[str, ...]
    bundle_difference: float
    """Largest difference of logits between the model read back from the bundle and the model itself."""
    onnx_difference: float | None
    """The same for the ONNX graph, on rows where no activation is at its threshold; None where it was not asked for."""
    rows: int
    """Embeddings compared."""

    @property
    def passed(self) -> bool:
        return max(self.bundle_difference, self.onnx_difference or 0.0) <= TOLERANCE


def possible_formats(model: ConceptModel) -> tuple[str, ...]:
    """Those that can hold the model: ONNX and SAELens want a bottleneck of JumpReLU form."""
    return FORMATS if model.bottleneck.abilities.jumprelu else ("bundle",)


def planned_files(model: ConceptModel, formats: Sequence[str]) -> tuple[PlannedFile, ...]:
    """What the export will hold, with sizes reckoned from the model's shape."""
    size, dim, classes = model.head.size, model.bottleneck.dim, len(model.classes)
    dictionary, head = 4 * (2 * size * dim + 2 * size + 2 * dim), 4 * classes * (size + 1)
    files = [
        PlannedFile("README.md", 4000, "the model card"),
        PlannedFile("config.json", 5000 + 20 * classes, "backbone, classes, how it was made, its figures"),
        PlannedFile("model.safetensors", head, "weights and biases of the classes"),
        PlannedFile("dictionary/", dictionary, "the dictionary: embeddings to concepts"),
        PlannedFile("concepts.parquet", 4000 + _CONCEPT_BYTES * size, "names, candidates and statistics of the concepts"),
        PlannedFile("recipe.json", max(50, len(model.recipe.to_json())), "your edits, which can be replayed or undone"),
        PlannedFile("SHA256SUMS", 600, "checks that nothing has changed since the export"),
    ]
    if "onnx" in formats:
        files.append(PlannedFile("model.onnx", 4 * (size * dim + 2 * size + dim) + head + 4000, "the graph, for onnxruntime"))
    if "saelens" in formats:
        files.append(PlannedFile("saelens/", dictionary, "the dictionary, for SAELens"))
    return tuple(files)


def card_text(model: ConceptModel, metrics: Mapping[str, Any], formats: Sequence[str]) -> str:
    """The model card as it will read, without the header that hubs read."""
    text = write_card(model, dict(model.method.get("data", {})), metrics, frozenset(formats), None)
    return text.partition("---\n\n")[2] if text.startswith("---\n") else text


def export_name(model: str, recipe: Recipe, stored: Recipe) -> str:
    """A folder name for the export of a model under a recipe."""
    return f"concept-model-{short(model)}" + ("" if recipe == stored else f"-edited-{recipe_digest(recipe)[:6]}")


def recipe_digest(recipe: Recipe) -> str:
    return hashlib.sha256(recipe.to_json().encode()).hexdigest()[:16]


def build_export(
    model: ConceptModel, check_on: Float32[np.ndarray, "rows d"], metrics: Mapping[str, Any], formats: Sequence[str], name: str
) -> BuiltExport:
    """Export a model, edits included, to memory and compare what was written with the model; no file is left behind.

    Args:
        check_on: embeddings of the model's backbone; the first `CHECK_ROWS` of them are compared.
        name: of the folder in the .zip.
    """
    embeddings = np.asarray(check_on[:CHECK_ROWS], np.float32)
    with tempfile.TemporaryDirectory(prefix="cbm-export-") as temporary:
        folder = Path(temporary) / name
        report = save_bundle(model, folder, formats, metrics=metrics, check_on=embeddings)
        read_back = ConceptModel.load(folder).predict(embeddings).logits
        data = pack(folder, name)
    return BuiltExport(
        data,
        f"{name}.zip",
        report.files,
        float(np.abs(read_back - model.predict(embeddings).logits).max(initial=0.0)),
        report.max_abs_difference,
        len(embeddings),
    )
