"""The model card: what a stranger needs to know before using an exported model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cbm.editing.recipe import ActivationEdit, ImageScope, NameEdit, describe
from cbm.model.bundle_files import ONNX, SAELENS
from cbm.model.concept_model import ConceptModel
from cbm.model.onnx import OnnxCheck

_LIMITS = """\
- Names describe what a concept responds to, as far as the backbone's text embeddings can tell. They can be wrong, and they never
  influence a prediction. Look at the images that activate a concept before you trust its name.
- The model sees only what the backbone's embedding keeps, and inherits its biases.
- Contributions are exact for the linear head (activation × weight, summing with the bias to the logit). They say how the model
  decides, not what causes the class in the world.
- Figures hold for the data they were measured on. Measure again on yours."""

_SNIPPET = """\
```python
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{onnx}")
embeddings = ...  # float32 [batch, {dim}], {space}
logits, activations = session.run(["logits", "activations"], {{"embeddings": embeddings}})
classes = {classes}
print([classes[index] for index in logits.argmax(axis=1)])
```"""

_SPACES = {
    "l2": "image embeddings divided by their L2 length",
    "raw": "image embeddings as the backbone gives them",
    "centred": "image embeddings minus the mean of the set the dictionary was trained on",
}


def write_card(
    model: ConceptModel, data: Mapping[str, Any], metrics: Mapping[str, Any], formats: frozenset[str], check: OnnxCheck | None
) -> str:
    """The card's text (Markdown with a YAML header, as model hubs read it)."""
    base = f"{model.backbone.architecture}/{model.backbone.pretrained}" if model.backbone else "unknown"
    header = {"library_name": "cbm-studio", "tags": ["concept-bottleneck-model", "interpretability"], "base_model": base}
    sections = [
        "---\n" + "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in header.items()) + "---",
        f"# Concept model: {_inline(', '.join(model.classes[:5]))}{' …' if len(model.classes) > 5 else ''}",
        f"A concept bottleneck model: an image embedding becomes activations of {model.head.size} named concepts, and a linear head turns "
        f"those into {len(model.classes)} classes. Every prediction is the sum of its concepts' contributions and a bias.",
        "## Use",
        _use(model, formats),
        "## Method",
        _table(_method(model, base)),
        "## Data",
        _table(data) or "Not stated.",
        "## Metrics",
        _metrics(model, metrics),
        "## Edits",
        _edits(model),
        "## Limits",
        _LIMITS,
        "## Files",
        _files(formats, check),
    ]
    return "\n\n".join(sections) + "\n"


def _use(model: ConceptModel, formats: frozenset[str]) -> str:
    native = '```python\nfrom cbm.model import ConceptModel\n\nmodel = ConceptModel.load(".")\nprediction = model.predict(embeddings)\n```'
    space = _SPACES[model.space]
    if "onnx" not in formats:
        return f"Embeddings are {space}.\n\n{native}"
    classes = json.dumps(list(model.classes), ensure_ascii=False)
    snippet = _SNIPPET.format(onnx=ONNX, dim=model.bottleneck.dim, space=space, classes=classes)
    return f"Without this project, with onnxruntime alone:\n\n{snippet}\n\nWith CBM Studio, explanations and edits included:\n\n{native}"


def _method(model: ConceptModel, base: str) -> dict[str, Any]:
    fingerprint = model.backbone.fingerprint if model.backbone else "unknown"
    rows: dict[str, Any] = {
        "backbone": base,
        "backbone fingerprint": fingerprint,
        "embedding space": f"{model.space}: {_SPACES[model.space]}",
        "dictionary": f"{model.bottleneck.kind}, {model.head.size} concepts of {model.bottleneck.dim} dimensions",
        "head": f"{model.head.kind}, {model.head.nec:.2f} non-zero weights per class (NEC) before edits",
    }
    return rows | {key: value for key, value in model.method.items() if key not in ("data", "metrics")}


def _metrics(model: ConceptModel, metrics: Mapping[str, Any]) -> str:
    if not metrics:
        return "None were measured before the export."
    edited = any(not isinstance(edit, NameEdit) for edit in model.recipe.active)
    return _table(metrics) + ("\n\nMeasured before the edits below, unless a name says otherwise." if edited else "")


def _edits(model: ConceptModel) -> str:
    recipe = model.recipe
    if not recipe.active:
        return "None: the model is as it was trained."
    lines: list[str] = []
    for edit in recipe.active:
        elsewhere = isinstance(edit, ActivationEdit) and isinstance(edit.scope, ImageScope)
        lines.append(f"{len(lines) + 1}. {_inline(describe(edit))}{' (not in the ONNX graph)' if elsewhere else ''}")
    text = "In this order (`recipe.json` replays them, and includes those that were switched off or undone):\n\n" + "\n".join(lines)
    if recipe.image_items():
        text += "\n\nEdits at image scope apply to single images identified by name; an ONNX graph sees only embeddings and omits them."
    return text


def _files(formats: frozenset[str], check: OnnxCheck | None) -> str:
    lines = [
        "- `config.json`: schema, backbone, space, classes, head, method, data, metrics",
        "- `model.safetensors`: the head's weight [classes, concepts] and bias [classes], before edits",
        "- `dictionary/`: the dictionary",
        "- `concepts.parquet`: names, candidates, scores and statistics of every concept",
        "- `recipe.json`: the edits",
        "- `SHA256SUMS`: `sha256sum -c SHA256SUMS` checks that nothing has changed since the export",
    ]
    if check:
        lines.append(
            f"- `{ONNX}`: embeddings -> logits, activations, edits folded in; largest difference from the model over {check.rows} "
            f"embeddings: {check.max_abs_difference:.2g} in logits, {check.max_abs_activation_difference:.2g} in activations"
        )
    if "saelens" in formats:
        lines.append(f"- `{SAELENS}/`: the dictionary in the layout that SAELens loads")
    return "\n".join(lines)


def _table(rows: Mapping[str, Any]) -> str:
    lines = [f"| {_inline(key)} | {_inline(value)} |" for key, value in _flatten(rows)]
    return "\n".join(["| what | value |", "| --- | --- |", *lines]) if lines else ""


def _flatten(rows: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in rows.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{name}: ")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    """A figure as people write it: six digits, lists with commas, lists of records with semicolons."""
    if value is None:
        return "not measured"
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(entry)}".replace("_", " ") for key, entry in value.items())
    if isinstance(value, list | tuple | np.ndarray):
        return ("; " if any(isinstance(entry, Mapping) for entry in value) else ", ").join(_text(entry) for entry in value)
    return str(value)


def _inline(text: str) -> str:
    """Text that stays in its table cell or line, and is no markup."""
    text = " ".join(str(text).split())
    for character in "\\`*[]<>|":
        text = text.replace(character, "\\" + character)
    return text
