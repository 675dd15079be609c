"""The inference form of every sparse autoencoder: one threshold per latent, no dependence on the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from cbm.core.arrays import unit_rows
from cbm.core.bottleneck import Abilities, Bottleneck
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.dictionaries.base import Dictionary

TENSORS = ("encoder", "encoder_bias", "decoder", "decoder_bias", "threshold", "mean")


@dataclass(frozen=True, eq=False)
class JumpReluDictionary(Dictionary):
    """z = h · 1[h > θ] with h = ReLU(((x - mean) · scale - b_dec) W_enc + b_enc), decoded as (z W_dec + b_dec) / scale + mean.

    JumpReLU of Rajamanoharan et al. 2024 (arXiv 2407.14435), equation 3, behind a fixed centring and scaling of the input.
    """

    kind: ClassVar[str] = "jumprelu"
    summary: ClassVar[str] = "Sparse autoencoder: concepts fire above a threshold of their own."
    abilities: ClassVar[Abilities] = Abilities(directions=True, decodes=True, patches=True, jumprelu=True)

    encoder: Float32[np.ndarray, "dim size"]
    encoder_bias: Float32[np.ndarray, " size"]
    decoder: Float32[np.ndarray, "size dim"]
    """Rows need not have unit length here; training leaves them so."""
    decoder_bias: Float32[np.ndarray, " dim"]
    threshold: Float32[np.ndarray, " size"]
    """A pre-activation counts when it exceeds this; never below zero."""
    mean: Float32[np.ndarray, " dim"]
    scale: float

    def __post_init__(self) -> None:
        dim, size = self.encoder.shape
        expected = {"encoder_bias": (size,), "decoder": (size, dim), "decoder_bias": (dim,), "threshold": (size,), "mean": (dim,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, expected {shape}")
        if (self.threshold < 0).any():
            raise ValueError("thresholds below zero would let negative activations through")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be a positive number, not {self.scale}")

    @property
    def size(self) -> int:
        return self.encoder.shape[1]

    @property
    def dim(self) -> int:
        return self.encoder.shape[0]

    @cached_property
    def directions(self) -> Float32[np.ndarray, "size dim"]:
        return unit_rows(self.decoder)

    @cached_property
    def _folded_encoder(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Encoder rows and bias with centring, scaling and the decoder's bias folded in, in float64 so that folding costs no accuracy."""
        encoder = self.encoder.astype(np.float64)
        weight = encoder.T * self.scale
        bias = self.encoder_bias - (self.mean.astype(np.float64) * self.scale + self.decoder_bias) @ encoder
        return torch.from_numpy(np.ascontiguousarray(weight, np.float32)), torch.from_numpy(bias.astype(np.float32))

    def _responses(self, embeddings: Float32[np.ndarray, "batch dim"]) -> torch.Tensor:
        """h, before ReLU and threshold."""
        weight, bias = self._folded_encoder
        return torch.addmm(bias, _as_tensor(embeddings), weight.T)

    def _encode_chunk(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        responses = self._responses(embeddings)
        rows, columns = (responses > torch.from_numpy(self.threshold)).nonzero(as_tuple=True)
        values = responses[rows, columns]
        return pack_codes(rows.numpy(), columns.numpy(), values.numpy(), len(embeddings), self.size)

    def decode(self, codes: Codes) -> Float32[np.ndarray, "batch dim"]:
        flat = torch.nn.functional.embedding_bag(
            torch.from_numpy(codes.indices), torch.from_numpy(self.decoder), per_sample_weights=torch.from_numpy(codes.values), mode="sum"
        ).numpy()
        return np.asarray((flat + self.decoder_bias) / self.scale + self.mean, dtype=np.float32)

    def preactivations(
        self, embeddings: Float[np.ndarray, "batch dim"], latents: Int[np.ndarray, " some"]
    ) -> Float32[np.ndarray, "batch some"]:
        weight, bias = self._folded_encoder
        chosen = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.int64))
        parts = [torch.addmm(bias[chosen], _as_tensor(chunk), weight[chosen].T).numpy() for chunk in self._chunks(embeddings)]
        return np.concatenate(parts) if parts else np.zeros((0, len(chosen)), np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        return {name: getattr(self, name) for name in TENSORS}

    def settings(self) -> dict[str, Any]:
        return {"scale": self.scale}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(**{name: tensors[name] for name in TENSORS}, scale=float(settings["scale"]))


class RandomDictionary(JumpReluDictionary):
    """Frozen random unit directions in the same form: the encoder is their transpose; see `cbm.dictionaries.random`."""

    kind: ClassVar[str] = "random"
    summary: ClassVar[str] = "Random directions, with a threshold that leaves k of them active."


def as_jumprelu(bottleneck: Bottleneck) -> JumpReluDictionary:
    """The bottleneck of a model that is to be exported to ONNX or SAELens.

    Raises:
        InvalidInputError: it has no such form; see `abilities.jumprelu`.
    """
    if not (isinstance(bottleneck, JumpReluDictionary) and bottleneck.abilities.jumprelu):
        raise InvalidInputError(
            f"A model on a {bottleneck.kind or type(bottleneck).__name__} bottleneck cannot be exported to ONNX or SAELens, only sparse "
            "autoencoders can; export it with the format bundle alone."
        )
    return bottleneck


def _as_tensor(embeddings: Float32[np.ndarray, "batch dim"]) -> torch.Tensor:
    # Read-only memory maps make torch warn about undefined behaviour on writes; nothing here writes, but a copy of one chunk is cheap.
    return torch.from_numpy(embeddings if embeddings.flags.writeable else embeddings.copy())


def pack_codes(
    rows: Int[np.ndarray, " active"], columns: Int[np.ndarray, " active"], values: Float32[np.ndarray, " active"], batch: int, size: int
) -> Codes:
    """Codes from row-major coordinates of the active entries."""
    counts = np.bincount(rows, minlength=batch)
    width = max(1, int(counts.max(initial=0)))
    position = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    indices = np.zeros((batch, width), np.int32)
    packed = np.zeros((batch, width), np.float32)
    indices[rows, position] = columns
    packed[rows, position] = values
    return Codes(indices, packed, size)
