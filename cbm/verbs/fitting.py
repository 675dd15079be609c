"""Heads and their baselines on the rows of a training and a test set, as the `train` verb stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.core.bottleneck import Bottleneck
from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import make_settings, settings_fields
from cbm.heads.base import LinearHead
from cbm.heads.fit import HeadReport, HeadsConfig, LabelledRows, compare_heads
from cbm.heads.nec_path import NecPath
from cbm.heads.part import HeadRows
from cbm.heads.sparse import SparseSettings
from cbm.metrics.classification import accuracy, group_accuracy
from cbm.registry import HEADS
from cbm.study.held_out import Rows
from cbm.verbs.base import plain
from cbm.workspace.requests import Training


@dataclass(frozen=True)
class FittedHeads:
    """The head that the model holds, and every figure beside it."""

    head: LinearHead
    metrics: dict[str, Any]


def fit_heads(
    bottleneck: Bottleneck,
    training: Rows,
    test: Rows,
    classes: Sequence[str],
    request: Training,
    class_text: Float32[np.ndarray, "classes dim"] | None,
    run: Run,
    *,
    concepts: Sequence[str] = (),
    concept_text: Float32[np.ndarray, "concepts dim"] | None = None,
) -> FittedHeads:
    """Fit and measure all heads; see `cbm.heads.fit.compare_heads`.

    Args:
        request: says which of `HEADS` the model is to hold, with its settings; the sparse one is that of the first NEC.
        concepts: the concepts' names, for heads that go by them.
        concept_text: the names' text embeddings, with zeros for those that have none.
    """
    part, necs = HEADS[request.head], tuple(map(float, request.necs))
    if not necs:
        raise InvalidInputError("No number of effective concepts was given; give at least one, such as --nec 5.")
    takes_necs = any(field.name == "necs" for field in settings_fields(part.settings))
    own = make_settings(part.settings, {**request.options, **({"necs": necs} if takes_necs else {})}, f"the head {part.name}")
    config = HeadsConfig(necs=necs, seed=run.seed)
    if part.dense and not part.bound:
        config = replace(config, dense=part.name, dense_settings=own)
    elif isinstance(own, SparseSettings):
        config = replace(config, tolerance=own.tolerance)
    rows = [LabelledRows(bottleneck.encode(some.embeddings), some.embeddings, some.labels_among(classes)) for some in (training, test)]
    head = None
    if part.bound or not (part.dense or part is HEADS["sparse"]):
        # Before the comparison, which takes longer: what the head lacks is said at once.
        known = rows[0].labelled()
        head = part.fit(
            HeadRows(known.codes, known.labels, len(classes), tuple(classes), tuple(concepts), class_text, concept_text), own, run
        )
    report = compare_heads(rows[0], rows[1], len(classes), class_text_embeddings=class_text, config=config, run=run)
    if head is None:
        head = report.dense if part.dense else report.head("sparse", necs[0])
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
