"""What `cbm.registry.METHODS` holds: a way to make a bottleneck whose concepts are named from the start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int

from cbm.core.bottleneck import Bottleneck
from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.registry import Part

if TYPE_CHECKING:
    from cbm.names.vocabulary import Vocabulary

Need = Literal["words", "known concepts"]
"""words: a list of names with text embeddings · known concepts: which concept is in which image."""


@dataclass(frozen=True)
class KnownConcepts:
    """Which concepts are in which images, as a table or a known-answer world says."""

    names: tuple[str, ...]
    present: Bool[np.ndarray, "rows concepts"]


@dataclass(frozen=True)
class Material:
    """What a method may learn from: the training images alone, never those that the model is tested on."""

    embeddings: Float32[np.ndarray, "rows dim"]
    labels: Int[np.ndarray, " rows"]
    """Class numbers; -1 where an image has none."""
    classes: tuple[str, ...]
    words: Vocabulary | None = None
    class_texts: Float32[np.ndarray, "classes dim"] | None = None
    """Unit text embeddings of the class names; None where they cannot be had."""
    known: KnownConcepts | None = None

    def required_words(self) -> Vocabulary:
        """
        Raises:
            InvalidInputError: none were given.
        """
        if self.words is None:
            raise InvalidInputError("This method makes concepts of words; give a vocabulary, such as --words attributes.")
        return self.words

    def required_known(self) -> KnownConcepts:
        """
        Raises:
            InvalidInputError: none were given.
        """
        if self.known is None or not self.known.names:
            raise InvalidInputError(
                "This method learns known concepts, and these images have none; import a table with a true / false column for each concept."
            )
        return self.known


@dataclass(frozen=True)
class FittedBottleneck:
    """A bottleneck, and the figures that its method reports."""

    bottleneck: Bottleneck
    figures: dict[str, float]
    """Numbers of the method's own, such as how many words were left out; by name."""


@dataclass(frozen=True, kw_only=True)
class MethodPart(Part):
    """A way to make a bottleneck with named concepts."""

    label: str
    """As menus and charts show it: `Label-free CBM`."""
    source: str
    """The paper that it is taken from."""
    needs: Callable[[Any], tuple[Need, ...]]
    """What it learns from, under given settings."""
    fit: Callable[[Material, Any, Run], FittedBottleneck]
    """`fit(material, settings, run)`; `run.seed` seeds everything random."""
