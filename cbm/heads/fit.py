"""One call that fits every head and every baseline on the same rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.heads.base import LinearHead, stratified_split
from cbm.heads.baselines import LinearProbe, linear_probe, random_concept_path, zero_shot
from cbm.heads.dense_probe import ConvergedProbeConfig
from cbm.heads.nec_path import NecPath, NecPathConfig, NecPoint, fit_nec_path
from cbm.heads.part import HeadRows
from cbm.metrics.classification import STANDARD_NECS, accuracy
from cbm.registry import HEADS


@dataclass(frozen=True)
class LabelledRows:
    """Rows to learn from or to measure on: the same images as codes, as embeddings and as labels."""

    codes: Codes
    embeddings: Float32[np.ndarray, "rows dim"]
    labels: Int[np.ndarray, " rows"]

    def __post_init__(self) -> None:
        if not len(self.codes) == len(self.embeddings) == len(self.labels):
            raise InvalidInputError(
                f"{len(self.codes)} codes, {len(self.embeddings)} embeddings and {len(self.labels)} labels are not the same rows"
            )

    def __getitem__(self, rows: np.ndarray) -> LabelledRows:
        return LabelledRows(self.codes[rows], self.embeddings[rows], self.labels[rows])

    def labelled(self) -> LabelledRows:
        """Without the rows whose label is -1."""
        return self[np.flatnonzero(self.labels >= 0)]

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple[LabelledRows, LabelledRows]:
        """(training, held-out) rows, stratified by class."""
        kept, held = stratified_split(self.labels, held_out, seed)
        return self[kept], self[held]


@dataclass(frozen=True)
class HeadsConfig:
    """What `compare_heads` fits."""

    necs: tuple[float, ...] = STANDARD_NECS
    tolerance: float = 1e-3
    """Relative duality gap of every sparse optimum."""
    dense: str = "dense"
    """Which of `cbm.registry.HEADS` is the dense head of the comparison."""
    dense_settings: Any = None
    """Its settings; the defaults where None."""
    path: NecPathConfig = field(default_factory=NecPathConfig)
    random_concepts: bool = True
    """Whether to draw the random-concept curve; it takes as long as the path itself."""
    seed: int = 0
    """Of splits, of the probe's initial weights and of the random directions."""


@dataclass(frozen=True)
class HeadReport:
    """Heads and baselines on the same rows; accuracies are on the test rows."""

    dense: LinearHead
    dense_accuracy: float
    path: NecPath
    linear_probe: LinearProbe
    zero_shot: float | None
    """None without class text embeddings."""
    random_path: NecPath | None

    def head(self, kind: str, nec: float = 5) -> LinearHead:
        """The "dense" head or the "sparse" one at a NEC of the path; raises InvalidInputError where that one was not reached."""
        if kind == "dense":
            return self.dense
        if kind != "sparse":
            raise InvalidInputError(f'a head is "dense" or "sparse", not "{kind}"')
        asked = [point.nec for point in self.path.points]
        if nec not in asked:
            raise InvalidInputError(f"there is no sparse head at NEC {nec:g}: the path was fitted at {asked}")
        head = self.path.point(nec).head
        if head is None:
            reached = [point.nec for point in self.path.points if point.reached]
            raise InvalidInputError(f"no sparse head reaches NEC {nec:g} on these rows; reached: {reached}. Ask for one of those")
        return head


def compare_heads(
    train: LabelledRows,
    test: LabelledRows,
    n_classes: int,
    *,
    class_text_embeddings: Float32[np.ndarray, "classes dim"] | None = None,
    config: HeadsConfig | None = None,
    run: Run | None = None,
) -> HeadReport:
    """Dense head, NEC path, linear probe, zero-shot and random-concept path in one call; deterministic by `config.seed`.

    Rows labelled -1 take no part. Raises InvalidInputError for labels that do not fit, Cancelled when told to stop.
    """
    config = config or HeadsConfig()
    train, test = train.labelled(), test.labelled()
    if len(test.labels) == 0:
        raise InvalidInputError("no test row has a label: heads can only be compared on labelled rows")
    path_config = replace(config.path, seed=config.seed)
    titles = ("linear probe", "dense head", "sparse head", *(("random concepts",) if config.random_concepts else ()))
    stages = replace(run or Run(), seed=config.seed).stages([(title, 1) for title in titles])
    with stages.next() as stage:
        probe = linear_probe(
            train.embeddings,
            train.labels,
            n_classes,
            test=(test.embeddings, test.labels),
            config=ConvergedProbeConfig(seed=config.seed),
            progress=stage.progress,
            cancelled=stage.cancelled,
        )
    part = HEADS[config.dense]
    with stages.next() as stage:
        dense = part.fit(HeadRows(train.codes, train.labels, n_classes), config.dense_settings or part.settings(), stage)
    with stages.next() as stage:
        path = fit_nec_path(
            train.codes,
            train.labels,
            n_classes,
            config.necs,
            test=(test.codes, test.labels),
            tolerance=config.tolerance,
            config=path_config,
            progress=stage.progress,
            cancelled=stage.cancelled,
        )
    random_path = None
    if config.random_concepts:
        with stages.next() as stage:
            random_path = random_concept_path(
                train.embeddings,
                train.labels,
                n_classes,
                train.codes.size,
                max(1, round(float(np.count_nonzero(train.codes.values)) / len(train.codes))),
                config.necs,
                test=(test.embeddings, test.labels),
                tolerance=config.tolerance,
                config=path_config,
                seed=config.seed,
                progress=stage.progress,
                cancelled=stage.cancelled,
            )
    shot = zero_shot(test.embeddings, test.labels, class_text_embeddings) if class_text_embeddings is not None else None
    return HeadReport(dense, accuracy(dense.predict(test.codes), test.labels), path, probe, shot, random_path)


__all__ = ["HeadReport", "HeadsConfig", "LabelledRows", "NecPath", "NecPoint", "compare_heads"]
