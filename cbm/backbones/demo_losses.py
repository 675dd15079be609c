"""What the demo backbone is trained to do with a batch of scenes and captions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from cbm.backbones.demo_model import Trainee, factor_columns
from cbm.images.scenes import CONCEPT_INDEX, CONCEPTS
from cbm.images.scenes.factors import EXTRAS

_EXTRA_COLUMNS = [CONCEPT_INDEX[name] for name in EXTRAS]


@dataclass(frozen=True)
class Batch:
    pixels: UInt8[Tensor, "batch size size 3"]
    truth: Bool[Tensor, "batch concepts"]
    cover: Float[Tensor, "batch things patches"]
    things: Int[Tensor, " concepts"]
    tokens: tuple[Int[Tensor, "names context"], Int[Tensor, "words context"], Int[Tensor, "compounds context"]]
    positives: Float[Tensor, "batch texts"]

    def split(self, parts: int) -> list[Batch]:
        """Equal shares of the images, each with all texts."""
        pieces = zip(*(tensor.chunk(parts) for tensor in (self.pixels, self.truth, self.cover, self.positives)), strict=True)
        return [Batch(pixels, truth, cover, self.things, self.tokens, positives) for pixels, truth, cover, positives in pieces]


def measure_losses(trainee: Trainee, batch: Batch, texts: Float[Tensor, "texts dim"], temperature: float) -> dict[str, Tensor]:
    """The losses of a batch against unit text embeddings, the names' first; `temperature` sharpens the grounding's softmax."""
    pooled, patches = trainee.images(batch.pixels)
    scale = trainee.model.logit_scale.exp()
    logits = scale * F.normalize(pooled, dim=-1) @ texts.T + trainee.bias
    names = texts[: len(CONCEPTS)]
    similarity = patches @ names.T / pooled.norm(dim=-1).detach()[:, None, None]
    mass = (similarity * temperature).softmax(dim=1) * batch.cover[:, batch.things].transpose(1, 2)
    shown = (mass.amax(dim=1) > 0) & batch.truth & (batch.things >= 0)
    return {
        "sigmoid": F.binary_cross_entropy_with_logits(logits, batch.positives),
        "presence": F.binary_cross_entropy_with_logits(logits[:, _EXTRA_COLUMNS], batch.truth[:, _EXTRA_COLUMNS].float()),
        "softmax": torch.stack([_choice(logits, batch.truth, columns) for columns in factor_columns().values()]).mean(),
        "grounding": -(mass.sum(dim=1).clamp(min=1e-6).log() * shown).sum() / shown.sum(),
        "spread": (names @ names.T - torch.eye(len(names))).square().mean(),
        "regions": _region_loss(patches, batch, scale * names),
    }


def _choice(logits: Float[Tensor, "batch texts"], truth: Bool[Tensor, "batch concepts"], columns: list[int]) -> Float[Tensor, ""]:
    """Cross-entropy of choosing the true value of a factor among its names."""
    return F.cross_entropy(logits[:, columns], truth[:, columns].float().argmax(1))


def _region_loss(
    patches: Float[Tensor, "batch patches dim"], batch: Batch, scaled_names: Float[Tensor, "concepts dim"]
) -> Float[Tensor, ""]:
    """The patches of one thing alone, averaged, must name it: figures all that is true of them, each extra itself."""
    columns = factor_columns()
    regions = F.normalize(batch.cover @ patches, dim=-1, eps=1e-4)
    logits = regions @ scaled_names.T
    parts = [_choice(logits[:, 0], batch.truth, columns[factor]) for factor in columns if factor != "background"]
    parts.append(_choice(logits[:, 1], batch.truth, columns["background"]))
    scene, extra = batch.truth[:, _EXTRA_COLUMNS].nonzero(as_tuple=True)
    if len(scene):
        parts.append(F.cross_entropy(logits[scene, 2 + extra][:, _EXTRA_COLUMNS], extra))
    return torch.stack(parts).mean()
