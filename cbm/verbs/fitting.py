"""Heads and their baselines on the rows of a training and a test set, as the `train` verb stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.dictionaries.base import Dictionary
from cbm.heads.base import LinearHead
from cbm.heads.dense_probe import ConvergedProbeConfig, DenseProbeConfig, DnCbmProbeConfig
from cbm.heads.fit import HeadReport, HeadsConfig, LabelledRows, compare_heads
from cbm.heads.nec_path import NecPath
from cbm.metrics.classification import accuracy, group_accuracy
from cbm.study.held_out import Rows
from cbm.verbs.base import plain

HEADS = ("sparse", "dense", "dn-cbm")


@dataclass(frozen=True)
class FittedHeads:
    """The head that the model holds, and every figure beside it."""

    head: LinearHead
    metrics: dict[str, Any]


def fit_heads(
    dictionary: Dictionary,
    training: Rows,
    test: Rows,
    classes: Sequence[str],
    kind: str,
    necs: Sequence[int],
    class_text: Float32[np.ndarray, "classes dim"] | None,
    run: Run,
) -> FittedHeads:
    """Fit and measure all heads; see `cbm.heads.fit.compare_heads`.

    Args:
        kind: which of `HEADS` the model is to hold; `sparse` takes the first of `necs`.
    """
    if kind not in HEADS:
        raise InvalidInputError(f"Unknown head {kind!r}; heads are {', '.join(HEADS)}.")
    if not necs:
        raise InvalidInputError("No number of effective concepts was given; give at least one, such as --nec 5.")
    dense: DenseProbeConfig = DnCbmProbeConfig() if kind == "dn-cbm" else ConvergedProbeConfig()
    config = HeadsConfig(necs=tuple(map(float, necs)), dense=dense, seed=run.seed)
    rows = [LabelledRows(dictionary.encode(part.embeddings), part.embeddings, part.labels_among(classes)) for part in (training, test)]
    report = compare_heads(
        rows[0], rows[1], len(classes), class_text_embeddings=class_text, config=config, progress=run.progress, cancelled=run.cancelled
    )
    head = report.head("sparse", float(necs[0])) if kind == "sparse" else report.dense
    return FittedHeads(head, plain(_figures(report, head, rows[1], test)))


def _figures(report: HeadReport, head: LinearHead, test_rows: LabelledRows, test: Rows) -> dict[str, Any]:
    predicted = head.predict(test_rows.codes)
    figures: dict[str, Any] = {
        "accuracy": accuracy(predicted, test_rows.labels),
        "nec": head.nec,
        "nec_path": _points(report.path),
        "dense": report.dense_accuracy,
        "linear_probe": report.linear_probe.accuracy,
        "zero_shot": report.zero_shot,
        "random_concepts": _points(report.random_path) if report.random_path else [],
    }
    if (test.groups >= 0).any():
        figures["worst_group"] = group_accuracy(predicted, test_rows.labels, test.groups, len(test.source.groups)).worst
    return figures


def _points(path: NecPath) -> list[dict[str, Any]]:
    return [{"nec": point.nec, "reached": point.reached, "accuracy": point.accuracy} for point in path.points]
