"""BatchTopK: a batch uses its batch · k strongest activations (Bussmann et al. 2024, arXiv 2412.06410)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from cbm.dictionaries.part import NestedTrainingSettings, sparse_autoencoder
from cbm.dictionaries.topk import TopK, configuration


@dataclass(frozen=True)
class BatchTopK(TopK):
    """The batch · k largest pre-activations of a batch: rich images may use more latents."""

    name: ClassVar[str] = "batchtopk"
    batch_wise: ClassVar[bool] = True


PART = sparse_autoencoder(
    "batchtopk",
    "BatchTopK",
    "Recommended. Images use k concepts on average: rich ones may use more, plain ones use fewer.",
    NestedTrainingSettings,
    partial(configuration, variant=BatchTopK),
    BatchTopK,
)
