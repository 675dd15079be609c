"""The one interface of everything that turns embeddings into sparse codes over learned directions, and back."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Int

from cbm.core.bottleneck import Abilities, Bottleneck, read_bottleneck
from cbm.core.codes import Codes
from cbm.core.errors import MismatchError
from cbm.registry import BOTTLENECKS


class Dictionary(Bottleneck):
    """Directions in embedding space with a sparse encoder: a sparse autoencoder or a baseline."""

    abilities: ClassVar[Abilities] = Abilities(directions=True, decodes=True, patches=True)

    @property
    @abstractmethod
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        """Unit rows: what each latent adds to a centred embedding."""

    @abstractmethod
    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        """Reconstructed embeddings, in the space of the embeddings that were encoded."""

    @abstractmethod
    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        """Responses of the chosen `latents` before any threshold or selection, for heat-maps over patch embeddings."""


def load_dictionary(folder: Path) -> Dictionary:
    """The dictionary that `Dictionary.save` wrote into `folder`.

    Raises:
        NotFoundError: there is no dictionary in `folder`.
        CorruptArtifactError: its files are damaged, or written by a newer version.
        MismatchError: it is a bottleneck of another kind.
    """
    found = read_bottleneck(folder, BOTTLENECKS)
    if not isinstance(found, Dictionary):
        raise MismatchError(f"{folder} holds a bottleneck of kind {found.kind!r}, which is no dictionary; choose a dictionary.")
    return found
