"""Z-CBM: an image is decomposed into those words of a large bank that are nearest to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cbm.bottlenecks.part import FittedBottleneck, Material, MethodPart
from cbm.bottlenecks.word_filters import WordSettings
from cbm.core.run import Run
from cbm.core.settings import Range


@dataclass(frozen=True)
class ZCbmSettings(WordSettings):
    most_words: Annotated[int | None, Range(1)] = None
    """At most so many words of the bank, those whose scores vary most between these images; all of them when absent."""
    nearest: Annotated[int, Range(1)] = 2048
    """Words of the bank that an image may use: those of highest cosine with it."""
    penalty: Annotated[float, Range(0.001, 2)] = 0.25
    """λ of the L1 penalty, as in SpLiCE: the greater, the fewer words an image has. The paper's is 0.01, which leaves many."""


def fit(material: Material, settings: ZCbmSettings, run: Run) -> FittedBottleneck:
    """Nearest words of each image, then `min ‖z − wD‖² + λ‖w‖₁ over w ≥ 0` over those alone."""
    from cbm.bottlenecks.splice import sparse_words
    from cbm.bottlenecks.word_filters import choose_words

    return sparse_words(material, choose_words(material, settings), settings.penalty, settings.nearest, run)


PART = MethodPart(
    "z-cbm",
    "Each image is written as a sum of a few of the words nearest to it, out of a bank of any size. Nothing is learned.",
    ZCbmSettings,
    label="Z-CBM",
    source="Yamaguchi et al. 2025 (arXiv 2502.09018), section 3",
    needs=lambda settings: ("words",),
    fit=fit,
)
