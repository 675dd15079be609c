"""What a head on concepts is compared with: a linear probe on the embeddings, zero-shot CLIP, and the same head on random concepts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from cbm.bottlenecks.linear import LinearConcepts
from cbm.core.arrays import unit_rows
from cbm.core.bottleneck import Bottleneck
from cbm.core.errors import MismatchError
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.dictionaries.linear import RandomProjections
from cbm.heads.base import checked_labels
from cbm.heads.dense_probe import ROW_NORM, ConvergedProbeConfig, fit_logistic_regression, spread_over_classes
from cbm.heads.nec_path import NecPath, NecPathConfig, fit_nec_path
from cbm.heads.problem import DENSE_ABOVE
from cbm.metrics.classification import STANDARD_NECS, accuracy


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression on whole embeddings: what the backbone knows, without concepts."""

    weight: Float32[np.ndarray, "classes dim"]
    bias: Float32[np.ndarray, " classes"]
    accuracy: float | None
    """On the test rows; None without any."""
    inverse_strength: float
    held_out_accuracy: float

    def logits(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Float32[np.ndarray, "batch classes"]:
        return embeddings @ self.weight.T + self.bias


def linear_probe(
    embeddings: Float32[np.ndarray, "rows dim"],
    labels: Int[np.ndarray, " rows"],
    n_classes: int,
    *,
    test: tuple[Float32[np.ndarray, "test dim"], Int[np.ndarray, " test"]] | None = None,
    config: ConvergedProbeConfig | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> LinearProbe:
    """Multinomial logistic regression on centred embeddings of one common scale, its L2 strength picked on held-out training rows."""
    labels = checked_labels(labels, len(embeddings), n_classes)
    mean = embeddings.mean(axis=0, dtype=np.float64)
    centred = (embeddings - mean).astype(np.float32)
    scale = ROW_NORM / math.sqrt(max(float(np.square(centred, dtype=np.float64).sum()) / len(centred), 1e-30))
    config = config or ConvergedProbeConfig()
    fit = fit_logistic_regression(centred * np.float32(scale), labels, config, "linear probe", progress, cancelled)
    weight, bias = spread_over_classes(fit.weight * scale, fit.bias - (fit.weight * scale) @ mean, fit.present, n_classes)
    probe = LinearProbe(weight.astype(np.float32), bias.astype(np.float32), None, fit.inverse_strength, fit.held_out_accuracy)
    if test is None:
        return probe
    measured = accuracy(probe.logits(test[0]).argmax(axis=1), test[1])
    return LinearProbe(probe.weight, probe.bias, measured, fit.inverse_strength, fit.held_out_accuracy)


def zero_shot(
    embeddings: Float32[np.ndarray, "rows dim"],
    labels: Int[np.ndarray, " rows"],
    class_text_embeddings: Float32[np.ndarray, "classes dim"],
) -> float:
    """Accuracy of taking the class whose text has the largest cosine (CLIP, section 3.1); embeddings raw or normalised, not centred."""
    if embeddings.shape[1] != class_text_embeddings.shape[1]:
        raise MismatchError(
            f"images have {embeddings.shape[1]} dimensions and class texts {class_text_embeddings.shape[1]}: encode both with one backbone"
        )
    texts = unit_rows(class_text_embeddings)
    # An image's own norm scales all its similarities alike, so only the texts need theirs taken out.
    return accuracy((embeddings @ texts.T).argmax(axis=1), labels)


def random_concept_path(
    embeddings: Float32[np.ndarray, "rows dim"],
    labels: Int[np.ndarray, " rows"],
    n_classes: int,
    size: int,
    active: int,
    necs: Sequence[float] = STANDARD_NECS,
    *,
    test: tuple[Float32[np.ndarray, "test dim"], Int[np.ndarray, " test"]] | None = None,
    tolerance: float = 1e-3,
    config: NecPathConfig | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> NecPath:
    """The NEC path on as many random directions as there are concepts, the baseline of every NEC curve (VLG-CBM, section 5).

    They are as sparse as the concepts: the `active` largest projections of each image, or all of them where most concepts are active.
    """
    concepts: Bottleneck = RandomProjections.draw(embeddings, size=size, k=active, seed=seed)
    if active > DENSE_ABOVE * size:
        directions = np.random.default_rng(seed).standard_normal((size, embeddings.shape[1]))
        concepts = LinearConcepts.standardised(directions, [f"direction {number}" for number in range(size)], embeddings)
    encoded_test = (concepts.encode(test[0]), test[1]) if test is not None else None
    return fit_nec_path(
        concepts.encode(embeddings),
        labels,
        n_classes,
        necs,
        test=encoded_test,
        tolerance=tolerance,
        config=config,
        progress=progress,
        cancelled=cancelled,
    )
