"""Sparse autoencoders that others trained: what their files have in common, brought into the form of this library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from cbm.core.errors import CorruptArtifactError, NotFoundError
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.topk_dictionary import TopKDictionary


@dataclass(frozen=True, eq=False)
class Published:
    """A dictionary out of a file, and what the file says of where its inputs came from."""

    dictionary: JumpReluDictionary
    format: str
    """By which library it was written."""
    hook: str = ""
    """The activations that it was trained on, as its authors call them; empty where the file does not say."""
    model: str = ""
    """The model that made them; empty where the file does not say."""
    unit_inputs: bool = False
    """It expects embeddings of length one."""


@dataclass(frozen=True, eq=False)
class AffineWeights:
    """z = act(h) with h = (x - b_dec) W_enc + b_enc and x^ = z W_dec + b_dec; act is ReLU above a threshold, or the k largest of them."""

    encoder: Float[np.ndarray, "dim size"]
    encoder_bias: Float[np.ndarray, " size"]
    decoder: Float[np.ndarray, "size dim"]
    decoder_bias: Float[np.ndarray, " dim"]
    threshold: Float[np.ndarray, " size"] | None = None
    k: int | None = None
    subtracts_bias: bool = True
    """False: h = x W_enc + b_enc."""

    def in_units_of_the_decoder(self) -> Self:
        """The same reconstructions from decoder rows of length one, activations (and thresholds that were set) scaled to match."""
        norms = np.linalg.norm(self.decoder.astype(np.float64), axis=1)
        return replace(
            self,
            encoder=self.encoder * norms,
            encoder_bias=self.encoder_bias * norms,
            threshold=None if self.threshold is None else self.threshold * norms,
            decoder=self.decoder / np.where(norms > 0, norms, 1.0)[:, None],
        )

    def gated(self, gate_bias: Float[np.ndarray, " size"], r_mag: Float[np.ndarray, " size"], mag_bias: Float[np.ndarray, " size"]) -> Self:
        """Gated SAE of Rajamanoharan et al. 2024 (arXiv 2404.16014), which with tied weights is a JumpReLU (its section 3.2): the gate
        u + b_gate > 0 of u = (x - b_dec) W is, in terms of the magnitude e^r u + b_mag, a threshold at b_mag - e^r b_gate."""
        gain = np.exp(r_mag.astype(np.float64))
        threshold = np.maximum(mag_bias - gain * gate_bias, 0)
        return replace(self, encoder=self.encoder * gain, encoder_bias=self.encoder_bias * gain + mag_bias, threshold=threshold)

    def dictionary(self, scale: float = 1.0) -> JumpReluDictionary:
        """In the form of this library; `scale` multiplies the embeddings first.

        Raises:
            ValueError: the shapes do not fit, or a number is not finite.
        """
        bias = self.encoder_bias.astype(np.float64)
        if not self.subtracts_bias:
            bias = bias + self.decoder_bias.astype(np.float64) @ self.encoder
        size = len(bias)
        parts: dict[str, Any] = {
            "encoder": _single(self.encoder),
            "encoder_bias": _single(bias),
            "decoder": _single(self.decoder),
            "decoder_bias": _single(self.decoder_bias),
            "threshold": _single(np.zeros(size) if self.threshold is None else np.maximum(self.threshold, 0)),
            "mean": np.zeros(len(self.decoder_bias), np.float32),
            "scale": float(scale),
        }
        for name, values in parts.items():
            if not np.isfinite(values).all():
                raise ValueError(f"its {name.replace('_', ' ')} holds numbers that are not finite")
        return JumpReluDictionary(**parts) if self.k is None else TopKDictionary(**parts, k=self.k)


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, np.float32)


@contextmanager
def told_as_damaged(path: Path) -> Iterator[None]:
    """Turns what goes wrong inside into one error that names the file."""
    from safetensors import SafetensorError

    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(f"{error.filename} is missing; the dictionary in {path} is incomplete.") from error
    except UnpicklingError as error:
        raise CorruptArtifactError(
            f"{path} holds Python objects, which are not executed here. Have its owner save the state_dict alone, with its tensors."
        ) from error
    except (
        json.JSONDecodeError,
        UnicodeDecodeError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
        OSError,
        RuntimeError,
        EOFError,
        SafetensorError,
    ) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise CorruptArtifactError(f"The dictionary in {path} cannot be read ({reason}); export or download it again.") from error


def read_config(file: Path) -> Mapping[str, Any]:
    """A JSON object."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{file.name} is not a JSON object")
    return config


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Tensors of any float type, as float32."""
    from safetensors.torch import load_file

    return {name: tensor.float().numpy() for name, tensor in load_file(str(file)).items()}
