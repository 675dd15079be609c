"""ReLU + L1: the classic sparse autoencoder (Bricken et al. 2023; DN-CBM, Rao et al. 2024, arXiv 2407.14499)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from cbm.dictionaries.configs import TrainingConfig, Variant, check_width, require
from cbm.dictionaries.part import NestedTrainingSettings, sparse_autoencoder, with_training

if TYPE_CHECKING:
    import torch

    from cbm.dictionaries.objective import Objective


@dataclass(frozen=True)
class ReluL1(Variant):
    """ReLU activations under an L1 penalty, with resampling of dead latents (Bricken et al. 2023; DN-CBM, arXiv 2407.14499)."""

    name: ClassVar[str] = "relu-l1"

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
        check_width(self.width, self.matryoshka)
        require(self.coefficient >= 0, f"coefficient = {self.coefficient} must not be negative")
        require(self.reduction in ("mean", "sum"), f"reduction {self.reduction!r} must be 'mean' or 'sum'")
        require(self.k is None or 1 <= self.k <= self.width, f"k = {self.k} must lie between 1 and the width {self.width}")
        require(self.resample_every is None or self.resample_every >= 1, "resample_every must be at least one epoch")

    def objective(self, dim: int, device: torch.device, chunk_rows: int) -> Objective:
        from cbm.dictionaries.relu_l1_objective import ReluL1Objective

        return ReluL1Objective(self, dim, device, chunk_rows)

    @property
    def selected(self) -> int:
        return 0

    @property
    def resamples_every(self) -> int | None:
        return self.resample_every


def configuration(settings: NestedTrainingSettings, seed: int) -> TrainingConfig:
    assert settings.width is not None, "settings are resolved"
    return with_training(TrainingConfig(ReluL1(settings.width, k=settings.k, matryoshka=settings.matryoshka), seed=seed), settings)


PART = sparse_autoencoder(
    "relu-l1",
    "ReLU + L1",
    "The classic: a penalty on activation keeps most concepts silent; a threshold then leaves k on average.",
    NestedTrainingSettings,
    configuration,
    ReluL1,
)
