"""TopK: every embedding uses its k strongest latents (Gao et al. 2024, arXiv 2406.04093)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from cbm.dictionaries.configs import TrainingConfig, Variant, check_width, require
from cbm.dictionaries.part import NestedTrainingSettings, sparse_autoencoder, with_training

if TYPE_CHECKING:
    import torch

    from cbm.dictionaries.objective import Objective


@dataclass(frozen=True)
class TopK(Variant):
    """The k largest pre-activations of each embedding (Gao et al. 2024, arXiv 2406.04093), with AuxK against dead latents."""

    name: ClassVar[str] = "topk"
    batch_wise: ClassVar[bool] = False
    """Whether the k strongest are chosen over a whole batch."""

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
        check_width(self.width, self.matryoshka)
        require(1 <= self.k <= self.width, f"k = {self.k} must lie between 1 and the width {self.width}")
        require(self.aux_coefficient >= 0, f"aux_coefficient = {self.aux_coefficient} must not be negative")
        require(self.aux_k is None or self.aux_k >= 1, f"aux_k = {self.aux_k} must be positive")

    def objective(self, dim: int, device: torch.device, chunk_rows: int) -> Objective:
        from cbm.dictionaries.topk_objective import TopKObjective

        return TopKObjective(self, dim, device, chunk_rows)


def configuration(settings: NestedTrainingSettings, seed: int, variant: type[TopK] = TopK) -> TrainingConfig:
    assert settings.width is not None, "settings are resolved"
    return with_training(TrainingConfig(variant(settings.width, settings.k, settings.matryoshka), seed=seed), settings)


PART = sparse_autoencoder(
    "topk",
    "TopK",
    "Every image uses exactly k concepts while it trains, however much or little there is to see.",
    NestedTrainingSettings,
    configuration,
    TopK,
)
