"""The four tensors that training moves, and what keeps the decoder on the unit sphere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float

NAMES = ("encoder", "encoder_bias", "decoder", "decoder_bias")


@dataclass(frozen=True)
class Weights:
    """Encoder and decoder, both with one row per latent, so that gradients of a latent are contiguous."""

    encoder: Float[torch.Tensor, "size dim"]
    encoder_bias: Float[torch.Tensor, " size"]
    decoder: Float[torch.Tensor, "size dim"]
    decoder_bias: Float[torch.Tensor, " dim"]
    """Subtracted before the encoder and added after the decoder."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(getattr(self, name) for name in NAMES)

    def clone(self) -> Weights:
        return Weights(*(tensor.detach().clone() for tensor in self.tensors))

    def zero_gradients(self) -> None:
        for tensor in self.tensors:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
            else:
                tensor.grad.zero_()


def tied_weights(directions: Float[torch.Tensor, "size dim"]) -> Weights:
    """Decoder rows along `directions`, the encoder a copy of them, biases zero: latents respond to what they write, so few die early."""
    decoder = torch.nn.functional.normalize(directions, dim=1)
    # A clone: without it encoder and decoder would share storage and train as one.
    return Weights(decoder.clone(), torch.zeros_like(decoder[:, 0]), decoder, torch.zeros_like(decoder[0]))


def kaiming_weights(width: int, dim: int, generator: torch.Generator, device: torch.device) -> Weights:
    """The initial weights of DN-CBM's autoencoder: Kaiming-uniform encoder, bias in ±1/√dim, unit decoder rows, decoder bias zero."""
    encoder = (torch.rand(width, dim, generator=generator) * 2 - 1) * (6 / dim) ** 0.5
    bias = (torch.rand(width, generator=generator) * 2 - 1) / dim**0.5
    decoder = torch.nn.functional.normalize(torch.randn(width, dim, generator=generator), dim=1)
    return Weights(encoder.to(device), bias.to(device), decoder.to(device), torch.zeros(dim, device=device))


def remove_radial_gradient(weights: Weights) -> None:
    """Take from each decoder row's gradient what points along the row: it would only change a length that is fixed."""
    gradient = weights.decoder.grad
    assert gradient is not None, "gradients are accumulated before this"
    radial = torch.einsum("nd,nd->n", gradient, weights.decoder)
    gradient.addcmul_(weights.decoder, radial[:, None], value=-1)


def normalise_decoder(weights: Weights) -> None:
    """Decoder rows back to unit length, in place."""
    weights.decoder.div_(torch.linalg.vector_norm(weights.decoder, dim=1, keepdim=True).clamp_min_(1e-12))
