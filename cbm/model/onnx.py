"""Embedding -> logits and activations as one ONNX graph, with the recipe folded in, checked against the model itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from cbm.core.arrays import unit_rows
from cbm.core.errors import CbmError
from cbm.dictionaries.jumprelu import JumpReluDictionary, as_jumprelu
from cbm.model.concept_model import ConceptModel

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
"""Old on purpose: any onnxruntime since 1.12 reads it."""
TOLERANCE = 1e-5
"""Largest difference from the model that passes, relative to the largest logit (or activation)."""
CHECK_ROWS = 256
MOST_EXCUSED = 0.05
"""Share of rows that may differ because a pre-activation is at its threshold; more is no coincidence."""


class ExportError(CbmError):
    """An exported graph does not compute what the model computes."""


@dataclass(frozen=True)
class OnnxCheck:
    """How an exported graph compares with the model on the same embeddings."""

    rows: int
    max_abs_difference: float
    """Of the logits."""
    max_abs_activation_difference: float
    boundary_rows: int
    """Rows left out because they differ where a pre-activation is so close to its threshold that rounding decides whether it counts."""


def export_onnx(model: ConceptModel, file: Path, check_on: Float32[np.ndarray, "rows dim"] | None = None) -> OnnxCheck:
    """Write the model as ONNX and run it once with onnxruntime against the model itself.

    Input `embeddings` [batch, dim] in the model's space; outputs `logits` [batch, classes] and `activations` [batch, concepts] (with the
    activation edits at global scope). Edits at global and class scope and weight edits are folded in exactly (see
    `cbm.editing.scoring`); edits at image scope concern single known images and are not part of the graph.

    Args:
        check_on: embeddings to compare on (the first 256 are used); random ones near the dictionary's directions when absent.

    Raises:
        InvalidInputError: the model's bottleneck has no JumpReLU form.
        ExportError: graph and model differ by more than rounding.
    """
    dictionary = as_jumprelu(model.bottleneck)
    file.write_bytes(build_graph(model, dictionary).SerializeToString(deterministic=True))
    rows = _probe(model, dictionary) if check_on is None else np.ascontiguousarray(check_on[:CHECK_ROWS], dtype=np.float32)
    return check_onnx(model, file, rows)


def build_graph(model: ConceptModel, dictionary: JumpReluDictionary) -> onnx.ModelProto:
    """The graph, without touching the disk; equal models give equal graphs."""
    from onnx import TensorProto, helper, numpy_helper

    head = model.effective_head
    encoder = dictionary.encoder.astype(np.float64)
    constants = {
        # Centring, scaling and the decoder's bias are folded into the encoder in float64, as the dictionary itself does.
        "encoder": encoder * dictionary.scale,
        "encoder_bias": dictionary.encoder_bias
        - (dictionary.mean.astype(np.float64) * dictionary.scale + dictionary.decoder_bias) @ encoder,
        "threshold": dictionary.threshold,
        "zero": np.zeros(()),
        "weight": head.weight,
        "bias": head.bias,
    }
    nodes = [
        helper.make_node("MatMul", ["embeddings", "encoder"], ["projected"]),
        helper.make_node("Add", ["projected", "encoder_bias"], ["responses"]),
        helper.make_node("Greater", ["responses", "threshold"], ["active"]),
        helper.make_node("Where", ["active", "responses", "zero"], ["codes"]),
        helper.make_node("MatMul", ["codes", "weight"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["logits"]),
    ]
    if head.activation_maps:
        constants["factor"], constants["offset"] = np.ones(model.head.size), np.zeros(model.head.size)
        for concept, (factor, offset) in head.activation_maps.items():
            constants["factor"][concept], constants["offset"][concept] = factor, offset
        nodes.append(helper.make_node("Mul", ["codes", "factor"], ["scaled"]))
        nodes.append(helper.make_node("Add", ["scaled", "offset"], ["activations"]))
    else:
        nodes.append(helper.make_node("Identity", ["codes"], ["activations"]))
    graph = helper.make_graph(
        nodes,
        "concept_model",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", dictionary.dim])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(model.classes)]),
            helper.make_tensor_value_info("activations", TensorProto.FLOAT, ["batch", dictionary.size]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value, dtype=np.float32), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, producer_name="cbm-studio", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    backbone = model.backbone.to_dict() if model.backbone else None
    described = {"classes": model.classes, "concepts": model.names, "space": model.space, "backbone": backbone}
    helper.set_model_props(proto, {key: json.dumps(value, ensure_ascii=False) for key, value in described.items()})
    return proto


def check_onnx(model: ConceptModel, file: Path, embeddings: Float32[np.ndarray, "rows dim"]) -> OnnxCheck:
    """Compare a graph on disk with the model.

    Raises:
        ExportError: they differ by more than rounding.
    """
    import onnxruntime

    dictionary = as_jumprelu(model.bottleneck)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    logits, activations = session.run(["logits", "activations"], {"embeddings": embeddings})
    codes = dictionary.encode(embeddings)
    native_logits, native = model.predict_codes(codes).logits, codes.to_dense()
    for concept, (factor, offset) in model.effective_head.activation_maps.items():
        native[:, concept] = factor * native[:, concept] + offset
    by_row = np.abs(logits - native_logits).max(axis=1, initial=0), np.abs(activations - native).max(axis=1, initial=0)
    scales = max(1.0, float(np.abs(native_logits).max(initial=0))), max(1.0, float(np.abs(native).max(initial=0)))
    # "not below" rather than "above", so that NaN counts as different.
    differing = ~(by_row[0] <= TOLERANCE * scales[0]) | ~(by_row[1] <= TOLERANCE * scales[1])
    excused = differing & _boundary_rows(dictionary, embeddings)
    difference, activation_difference = (float(part[~excused].max(initial=0)) for part in by_row)
    if (differing & ~excused).any() or excused.sum() > MOST_EXCUSED * len(embeddings):
        raise ExportError(
            f"{file.name} differs from the model by {difference:.3g} in logits of size {scales[0]:.3g} and by {activation_difference:.3g} "
            f"in activations of size {scales[1]:.3g}, more than rounding explains; nothing was exported. Please report this model's "
            "configuration, and export it without onnx."
        )
    return OnnxCheck(len(embeddings), difference, activation_difference, int(excused.sum()))


def _boundary_rows(dictionary: JumpReluDictionary, embeddings: np.ndarray) -> np.ndarray:
    responses = dictionary.preactivations(embeddings, np.arange(dictionary.size))
    slack = 1e-6 * (1 + np.abs(dictionary.threshold))
    return np.any(np.abs(responses - dictionary.threshold) < slack, axis=1)


def _probe(model: ConceptModel, dictionary: JumpReluDictionary) -> Float32[np.ndarray, "rows dim"]:
    """Embeddings that make latents fire: a few random directions on top of the mean, at several strengths."""
    generator = np.random.default_rng(0)
    chosen = generator.integers(0, dictionary.size, (CHECK_ROWS, 8))
    strength = generator.exponential(1.0, (CHECK_ROWS, 8, 1)) * generator.choice([0.3, 1.0, 3.0], (CHECK_ROWS, 1, 1))
    rows = dictionary.mean + (dictionary.directions[chosen] * strength).sum(axis=1) / dictionary.scale
    if model.space == "l2":
        rows = unit_rows(rows)
    return np.asarray(rows, dtype=np.float32)
