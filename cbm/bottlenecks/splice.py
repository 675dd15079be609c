"""SpLiCE: an image is decomposed into a few words of a list; nothing is learned but the mean of the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.bottlenecks.part import FittedBottleneck, Material, MethodPart
from cbm.bottlenecks.word_filters import WordSettings
from cbm.core.run import Run
from cbm.core.settings import Range

if TYPE_CHECKING:
    from cbm.bottlenecks.word_filters import ChosenWords


@dataclass(frozen=True)
class SpliceSettings(WordSettings):
    penalty: Annotated[float, Range(0.001, 2)] = 0.25
    """λ of the L1 penalty: the greater, the fewer words an image has. At 0.25 the paper's images have about nine."""


def fit(material: Material, settings: SpliceSettings, run: Run) -> FittedBottleneck:
    """`min ‖z − wD‖² + λ‖w‖₁ over w ≥ 0`; image z and words D are each of length 1 about the mean of their kind."""
    from cbm.bottlenecks.word_filters import choose_words

    return sparse_words(material, choose_words(material, settings), settings.penalty, None, run)


def sparse_words(material: Material, chosen: ChosenWords, penalty: float, nearest: int | None, run: Run) -> FittedBottleneck:
    """The bottleneck over the chosen words, with figures of a sample of the training images."""
    import numpy as np

    from cbm.bottlenecks.sparse_words import SparseWords, decomposition_figures
    from cbm.bottlenecks.words import centred_texts
    from cbm.core.arrays import unit_rows

    embeddings = material.embeddings
    total, lengths = np.zeros(embeddings.shape[1]), 0.0
    for start in range(0, len(embeddings), _STEP):
        run.check()
        some = np.asarray(embeddings[start : start + _STEP], np.float32)
        total += unit_rows(some).sum(axis=0, dtype=np.float64)
        lengths += float(np.linalg.norm(some, axis=1).sum())
    rows = max(1, len(embeddings))
    bottleneck = SparseWords(
        np.ascontiguousarray(centred_texts(material.required_words().embeddings)[chosen.rows]),
        (total / rows).astype(np.float32),
        chosen.names,
        penalty,
        nearest,
        lengths / rows,
    )
    run.report(1, 2, "Decomposing images")
    sample = np.sort(np.random.default_rng(run.seed).permutation(len(embeddings))[:_SAMPLE])
    return FittedBottleneck(bottleneck, {**chosen.figures, **decomposition_figures(bottleneck, embeddings[sample])})


_STEP = 8192
_SAMPLE = 1000
"""Images that the figures are measured on."""

PART = MethodPart(
    "splice",
    "Each image is written as a sum of a few words of a list; how much of each word is its score. Nothing is learned.",
    SpliceSettings,
    label="SpLiCE",
    source="Bhalla et al. 2024 (NeurIPS), section 4",
    needs=lambda settings: ("words",),
    fit=fit,
)
