"""TopK autoencoders as others publish them: the k strongest responses of an image, with no threshold to put in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float32

from cbm.core.bottleneck import Abilities
from cbm.core.codes import Codes
from cbm.dictionaries.jumprelu import TENSORS, JumpReluDictionary, pack_codes


@dataclass(frozen=True, eq=False)
class TopKDictionary(JumpReluDictionary):
    """z = the k largest of h, and nothing else, with h = ReLU(((x - mean) · scale - b_dec) W_enc + b_enc); Gao et al. 2024
    (arXiv 2406.04093), equation 2. The thresholds are zero.

    The library's own TopK ends as a `JumpReluDictionary`, whose threshold is calibrated; this one computes what its authors did.
    """

    kind: ClassVar[str] = "topk"
    summary: ClassVar[str] = "Published TopK autoencoder: the k strongest concepts of every image."
    abilities: ClassVar[Abilities] = Abilities(directions=True, decodes=True, patches=True)

    _: KW_ONLY
    k: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.k <= self.size:
            raise ValueError(f"k must be between 1 and {self.size} latents, not {self.k}")

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        values, columns = self._responses(embeddings).topk(self.k, dim=1, sorted=False)
        rows, places = (values > torch.from_numpy(self.threshold)[columns]).nonzero(as_tuple=True)
        return pack_codes(rows.numpy(), columns[rows, places].numpy(), values[rows, places].numpy(), len(embeddings), self.size)

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "k": self.k}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(**{name: tensors[name] for name in TENSORS}, scale=float(settings["scale"]), k=int(settings["k"]))
