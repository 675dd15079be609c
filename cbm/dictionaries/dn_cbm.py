"""The recipe of DN-CBM, to the letter: a ReLU + L1 autoencoder of a fixed width (Rao et al. 2024, arXiv 2407.14499)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Self

from cbm.core.errors import InvalidInputError
from cbm.core.settings import Range
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.part import TrainingSettings, sparse_autoencoder, with_training
from cbm.dictionaries.relu_l1 import ReluL1
from cbm.dictionaries.sizes import EXPANSION

DN_CBM = TrainingConfig(
    variant=ReluL1(width=8192, coefficient=3e-5, reduction="mean", resample_every=10),
    epochs=200,
    batch_size=4096,
    learning_rate=5e-4,
    warm_up=0.0,
    decay=0.0,
    annealing=0.0,
    input_noise=0.0,
    averaging=0.0,
    calibration_share=0.0,
    inputs="raw",
    seed=49,
)
"""The published training of DN-CBM on RN50 (Rao et al. 2024): expansion 8 of 1024 dimensions. The command's own defaults differ from it."""


def dn_cbm(dim: int) -> TrainingConfig:
    """DN-CBM's recipe for embeddings of `dim` dimensions: expansion 8 and the constants of `DN_CBM`."""
    return dataclasses.replace(DN_CBM, variant=ReluL1(EXPANSION * dim, coefficient=3e-5, reduction="mean", resample_every=10))


@dataclass(frozen=True)
class DnCbmSettings(TrainingSettings):
    """What may differ from the published recipe."""

    width: Annotated[int | None, Range(1)] = None
    """Fixed by the recipe: eight times the embedding's dimension."""
    k: Annotated[int, Range(1)] = 32
    """Active latents of the baselines that it is compared with; the recipe itself has no k."""
    epochs: Annotated[int | None, Range(1)] = None
    """Passes over the images; the recipe's 200 when absent."""

    def resolved(self, dim: int) -> Self:
        if self.width not in (None, EXPANSION * dim):
            raise InvalidInputError("The variant dn-cbm takes no width; leave it out.")
        return super().resolved(dim)


def configuration(settings: DnCbmSettings, seed: int) -> TrainingConfig:
    assert settings.width is not None, "settings are resolved"
    return with_training(dataclasses.replace(dn_cbm(settings.width // EXPANSION), seed=seed), settings)


PART = sparse_autoencoder(
    "dn-cbm",
    "DN-CBM recipe",
    "The published recipe of Discover-then-Name, to compare with: fixed width, 200 passes, slow.",
    DnCbmSettings,
    configuration,
    fixed_width=True,
)
