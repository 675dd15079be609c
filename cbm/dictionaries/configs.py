"""What to train and how: frozen, validated, and stored as JSON beside every dictionary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cbm.core.errors import InvalidInputError


@dataclass(frozen=True)
class TopK:
    """The k largest pre-activations of each embedding (Gao et al. 2024, arXiv 2406.04093), with AuxK against dead latents."""

    width: int = 4096
    """Number of latents."""
    k: int = 32
    """Active latents of an embedding; after training the threshold is calibrated so that this holds on average."""
    matryoshka: tuple[float, ...] | None = None
    """Cumulative shares of the width, ending in 1, that must each reconstruct on their own (Bussmann et al. 2025, arXiv 2503.17547)."""
    aux_coefficient: float = 1 / 32
    """Weight of the AuxK term, which lets dead latents reconstruct what the living ones leave over."""
    aux_k: int | None = None
    """Dead latents used per embedding; None: half the embedding's dimension (Gao et al. 2024, appendix B.1)."""

    def __post_init__(self) -> None:
        _check_width(self.width, self.matryoshka)
        _require(1 <= self.k <= self.width, f"k = {self.k} must lie between 1 and the width {self.width}")
        _require(self.aux_coefficient >= 0, f"aux_coefficient = {self.aux_coefficient} must not be negative")
        _require(self.aux_k is None or self.aux_k >= 1, f"aux_k = {self.aux_k} must be positive")


@dataclass(frozen=True)
class BatchTopK(TopK):
    """The batch · k largest pre-activations of a batch: rich images may use more latents (Bussmann et al. 2024, arXiv 2412.06410)."""


@dataclass(frozen=True)
class ReluL1:
    """ReLU activations under an L1 penalty, with resampling of dead latents (Bricken et al. 2023; DN-CBM, arXiv 2407.14499)."""

    width: int = 4096
    """Number of latents."""
    coefficient: float = 3e-5
    """Weight of the sum of activations. It means nothing without `reduction`."""
    reduction: Literal["mean", "sum"] = "mean"
    """Whether the squared error is averaged or summed over the embedding's dimensions; the two coefficients differ by that factor."""
    k: int | None = None
    """If given, the threshold is raised after training until this many latents are active on average; None keeps every positive one."""
    matryoshka: tuple[float, ...] | None = None
    """As in `TopK`."""
    resample_every: int | None = 10
    """Epochs between resamplings of latents that never fired since the last one; None never resamples."""

    def __post_init__(self) -> None:
        _check_width(self.width, self.matryoshka)
        _require(self.coefficient >= 0, f"coefficient = {self.coefficient} must not be negative")
        _require(self.reduction in ("mean", "sum"), f"reduction {self.reduction!r} must be 'mean' or 'sum'")
        _require(self.k is None or 1 <= self.k <= self.width, f"k = {self.k} must lie between 1 and the width {self.width}")
        _require(self.resample_every is None or self.resample_every >= 1, "resample_every must be at least one epoch")


Variant = ReluL1 | TopK | BatchTopK
_VARIANTS: dict[str, type[ReluL1] | type[TopK]] = {"relu-l1": ReluL1, "topk": TopK, "batchtopk": BatchTopK}
VARIANTS = tuple(_VARIANTS)


@dataclass(frozen=True)
class TrainingConfig:
    """A variant, and how the one trainer trains it."""

    variant: Variant = field(default_factory=BatchTopK)
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
        _require(self.epochs is None or self.epochs >= 1, f"epochs = {self.epochs} must be at least 1")
        _require(self.batch_size is None or self.batch_size >= 1, f"batch_size = {self.batch_size} must be at least 1")
        _require(self.learning_rate > 0, f"learning_rate = {self.learning_rate} must be positive")
        _require(
            self.samples >= 1 and self.evaluate_every >= 1 and self.chunk_rows >= 1, "samples, evaluate_every, chunk_rows must be positive"
        )
        for name in ("warm_up", "decay", "annealing", "calibration_share"):
            _require(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)} is a share, between 0 and 1")
        _require(self.annealing_start >= 1, f"annealing_start = {self.annealing_start} must be at least 1")
        _require(0 <= self.averaging < 1, f"averaging = {self.averaging} must lie in [0, 1)")
        _require(self.input_noise >= 0, f"input_noise = {self.input_noise} must not be negative")
        _require(
            self.initial_directions in ("data", "random"), f"initial_directions {self.initial_directions!r} must be 'data' or 'random'"
        )
        _require(self.inputs in ("centred", "raw"), f"inputs {self.inputs!r} must be 'centred' or 'raw'")

    def to_json(self) -> dict[str, Any]:
        """Nested plain values; `from_json` undoes it."""
        record = dataclasses.asdict(self)
        record["variant"] = {"name": variant_name(self.variant), **record["variant"]}
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrainingConfig:
        """Raises InvalidInputError when a field is unknown or out of range."""
        fields = dict(record)
        variant_fields = dict(fields.pop("variant"))
        if variant_fields.get("matryoshka") is not None:
            variant_fields["matryoshka"] = tuple(variant_fields["matryoshka"])
        try:
            return cls(variant=make_variant(variant_fields.pop("name"), **variant_fields), **fields)
        except TypeError as error:
            raise InvalidInputError(f"The training configuration does not fit this version ({error}).") from error


def make_variant(name: str, **fields: Any) -> Variant:
    """The variant called `name` ("relu-l1", "topk" or "batchtopk") with the given fields."""
    if name not in _VARIANTS:
        raise InvalidInputError(f"Unknown dictionary variant {name!r}; variants are {', '.join(VARIANTS)}.")
    return _VARIANTS[name](**fields)


def variant_name(variant: Variant) -> str:
    """The name under which `make_variant` finds this variant."""
    return next(name for name, variant_class in _VARIANTS.items() if type(variant) is variant_class)


def dn_cbm(dim: int) -> TrainingConfig:
    """DN-CBM's recipe for embeddings of `dim` dimensions: expansion 8 and the constants of `DN_CBM`."""
    return dataclasses.replace(DN_CBM, variant=dataclasses.replace(DN_CBM.variant, width=8 * dim))


def _check_width(width: int, matryoshka: tuple[float, ...] | None) -> None:
    _require(width >= 1, f"width = {width} must be at least 1")
    if matryoshka is not None:
        rising = all(a < b for a, b in zip((0.0, *matryoshka), matryoshka, strict=False))
        _require(bool(matryoshka) and rising and matryoshka[-1] == 1.0, f"matryoshka = {matryoshka} must rise from above 0 to exactly 1")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidInputError(f"Dictionary settings: {message}.")


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
