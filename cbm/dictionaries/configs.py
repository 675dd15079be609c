"""What to train and how: frozen, validated, and stored as JSON beside every dictionary."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from cbm.core.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

    from cbm.dictionaries.objective import Objective


class Variant(ABC):
    """Base of the variants of sparse autoencoder: a frozen dataclass of hyperparameters, and the objective that they define."""

    name: ClassVar[str]
    """As `cbm.registry.DICTIONARIES` has it."""
    width: int
    k: int | None
    """Active latents of an embedding, on average, under the calibrated threshold; None keeps every positive activation."""

    @abstractmethod
    def objective(self, dim: int, device: torch.device, chunk_rows: int) -> Objective:
        """Loss and gradients, on embeddings of `dim` dimensions."""

    @property
    def selected(self) -> int:
        """Latents that training selects per embedding once k has fallen to its value; 0 where it selects none."""
        return self.k or 0

    @property
    def resamples_every(self) -> int | None:
        """Epochs between resamplings of dead latents."""
        return None


def _recommended() -> Variant:
    from cbm.registry import DICTIONARIES

    variant = DICTIONARIES["batchtopk"].variant
    assert variant is not None
    return variant()


@dataclass(frozen=True)
class TrainingConfig:
    """A variant, and how the one trainer trains it."""

    variant: Variant = field(default_factory=_recommended)
    epochs: int | None = None
    """Passes over the embeddings; None: as many as make `samples` embeddings, so that small sets are seen often, at most 8000."""
    samples: int = 400_000
    """Embeddings to see when `epochs` is None."""
    batch_size: int | None = None
    """Embeddings per optimiser step; None: a sixteenth of the set, between 256 and 4096."""
    learning_rate: float = 3e-3
    """High, because small sets give few steps; the falling end and the averaged weights take the noise out."""
    warm_up: float = 0.02
    """Share of the steps over which the learning rate rises from zero."""
    decay: float = 0.2
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    annealing: float = 0.1
    """Share of the steps over which k falls from `annealing_start` · k to k; this keeps latents from dying early."""
    annealing_start: float = 2.0
    """How many times k the annealing starts from (never more than the embedding's dimension)."""
    dead_after: int | None = None
    """A latent is dead when it stayed silent for so many embeddings; None: one epoch, at most 400,000."""
    input_noise: float = 0.2
    """Standard deviation of Gaussian noise on what the encoder sees, relative to the scaled embeddings; the target stays clean."""
    averaging: float = 0.97
    """Decay of the running average of the weights that is returned; 0 returns the last weights."""
    initial_directions: Literal["data", "random"] = "random"
    """Where TopK and BatchTopK decoder rows start: at embeddings drawn from the set, which saves most of the search, or anywhere."""
    calibration_share: float = 0.05
    """Share of the rows kept out of training to calibrate the threshold on: encoders are less active on rows they learned than on new ones.

    At least 512 rows, at most a fifth of the set; 0 calibrates on the training rows."""
    inputs: Literal["centred", "raw"] = "centred"
    """Centred: the mean is subtracted and one scalar makes E‖x‖² the dimension. Raw: neither, as DN-CBM does."""
    evaluate_every: int = 50
    """Optimiser steps between reports of fvu, l0 and dead."""
    chunk_rows: int = 512
    """Rows whose dense activations exist at once on a CPU, so that they stay in its cache."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.epochs is None or self.epochs >= 1, f"epochs = {self.epochs} must be at least 1")
        require(self.batch_size is None or self.batch_size >= 1, f"batch_size = {self.batch_size} must be at least 1")
        require(self.learning_rate > 0, f"learning_rate = {self.learning_rate} must be positive")
        require(
            self.samples >= 1 and self.evaluate_every >= 1 and self.chunk_rows >= 1, "samples, evaluate_every, chunk_rows must be positive"
        )
        for name in ("warm_up", "decay", "annealing", "calibration_share"):
            require(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)} is a share, between 0 and 1")
        require(self.annealing_start >= 1, f"annealing_start = {self.annealing_start} must be at least 1")
        require(0 <= self.averaging < 1, f"averaging = {self.averaging} must lie in [0, 1)")
        require(self.input_noise >= 0, f"input_noise = {self.input_noise} must not be negative")
        require(self.initial_directions in ("data", "random"), f"initial_directions {self.initial_directions!r} must be 'data' or 'random'")
        require(self.inputs in ("centred", "raw"), f"inputs {self.inputs!r} must be 'centred' or 'raw'")

    def to_json(self) -> dict[str, Any]:
        """Nested plain values; `from_json` undoes it."""
        record = dataclasses.asdict(self)
        record["variant"] = {"name": self.variant.name, **record["variant"]}
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrainingConfig:
        """Raises InvalidInputError when a field is unknown or out of range."""
        from cbm.registry import DICTIONARIES

        fields = dict(record)
        variant_fields = dict(fields.pop("variant"))
        if variant_fields.get("matryoshka") is not None:
            variant_fields["matryoshka"] = tuple(variant_fields["matryoshka"])
        variant = DICTIONARIES[variant_fields.pop("name")].variant
        if variant is None:
            raise InvalidInputError("The training configuration is not that of a sparse autoencoder.")
        try:
            return cls(variant=variant(**variant_fields), **fields)
        except TypeError as error:
            raise InvalidInputError(f"The training configuration does not fit this version ({error}).") from error


def check_width(width: int, matryoshka: tuple[float, ...] | None) -> None:
    require(width >= 1, f"width = {width} must be at least 1")
    if matryoshka is not None:
        rising = all(a < b for a, b in zip((0.0, *matryoshka), matryoshka, strict=False))
        require(bool(matryoshka) and rising and matryoshka[-1] == 1.0, f"matryoshka = {matryoshka} must rise from above 0 to exactly 1")


def require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInputError(f"Dictionary settings: {message}.")
