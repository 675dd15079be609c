"""Label-free CBM: a projection of the embedding that follows CLIP's own similarities to the concepts' words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.bottlenecks.part import FittedBottleneck, Material, MethodPart
from cbm.bottlenecks.word_filters import WordSettings
from cbm.core.run import Run
from cbm.core.settings import Range

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Float, Float32


@dataclass(frozen=True)
class LabelFreeSettings(WordSettings):
    activated: Annotated[float | None, Range(0, 1)] = None
    """Words are left out whose five nearest images have a lower mean cosine: nothing here shows them. The paper takes 0.25 to 0.28 for
    ViT-B/16; when absent, the lowest tenth goes."""
    faithful: Annotated[float, Range(-1, 1)] = 0.45
    """Concepts are left out whose learned scores follow CLIP's similarities less than this on held-out images (cos-cubed)."""
    steps: Annotated[int, Range(1)] = 1000
    """Steps of Adam, at most; every 50 the held-out images decide whether to go on."""
    learning_rate: float = 1e-3
    """Adam's."""
    held_out: Annotated[float, Range(0.01, 0.9)] = 0.2
    """Share of the training images on which training is stopped and concepts are judged."""


_VALIDATED_EVERY = 50
_NEAREST = 5
_LEAST_IMAGES = 10


def fit(material: Material, settings: LabelFreeSettings, run: Run) -> FittedBottleneck:
    """`W_c` maximises, summed over concepts, cos-cubed of `W_c x` and CLIP's similarities over the images (equation 2)."""
    import numpy as np

    from cbm.bottlenecks.linear import LinearConcepts
    from cbm.bottlenecks.word_filters import choose_words
    from cbm.core.arrays import unit_rows
    from cbm.core.errors import InvalidInputError

    chosen = choose_words(material, settings)
    texts = material.required_words().embeddings[chosen.rows]
    embeddings = np.asarray(material.embeddings, np.float32)
    similarities = unit_rows(embeddings) @ texts.T
    shown = _nearest_mean(similarities)
    limit = settings.activated if settings.activated is not None else float(np.quantile(shown, 0.1))
    kept = np.flatnonzero(shown >= limit)
    if len(kept) == 0:
        raise InvalidInputError(f"No word reaches a mean cosine of {limit:g} on its nearest images; the highest is {shown.max():.2f}.")
    if len(embeddings) < _LEAST_IMAGES:
        raise InvalidInputError(f"{len(embeddings)} images are too few to learn the projection from; give {_LEAST_IMAGES} or more.")
    weight, faithfulness = _project(embeddings, np.ascontiguousarray(similarities[:, kept]), settings, run)
    good = faithfulness > settings.faithful
    if not good.any():
        raise InvalidInputError(
            f"The projection follows no word at {settings.faithful:g} on held-out images; the best reaches {faithfulness.max():.2f}. Give "
            "more images or steps, or a lower value for faithful."
        )
    rows = kept[good]
    bottleneck = LinearConcepts.standardised(weight[good], [chosen.names[row] for row in rows], embeddings)
    return FittedBottleneck(
        bottleneck,
        {
            **chosen.figures,
            "not_shown": len(shown) - len(kept),
            "not_faithful": int((~good).sum()),
            "faithfulness": float(faithfulness[good].mean()),
        },
    )


def cos_cubed(
    first: Float[torch.Tensor, "rows concepts"], second: Float[torch.Tensor, "rows concepts"]
) -> Float[torch.Tensor, " concepts"]:
    """Cosine of two columns after centring and cubing both, for every concept: agreement on the images where it is strong."""
    import torch.nn.functional as F

    columns = [(column - column.mean(dim=0)) ** 3 for column in (first, second)]
    return F.cosine_similarity(columns[0], columns[1], dim=0, eps=1e-12)


def _nearest_mean(similarities: Float32[np.ndarray, "rows concepts"]) -> Float32[np.ndarray, " concepts"]:
    import numpy as np

    count = min(_NEAREST, len(similarities))
    return np.partition(similarities, len(similarities) - count, axis=0)[-count:].mean(axis=0)


def _project(
    embeddings: Float32[np.ndarray, "rows dim"],
    similarities: Float32[np.ndarray, "rows concepts"],
    settings: LabelFreeSettings,
    run: Run,
) -> tuple[Float32[np.ndarray, "concepts dim"], Float32[np.ndarray, " concepts"]]:
    """The projection that is best on the held-out images, and its cos-cubed there."""
    import numpy as np
    import torch

    order = np.random.default_rng(run.seed).permutation(len(embeddings))
    count = max(2, round(settings.held_out * len(order)))
    held, training = torch.from_numpy(order[:count]), torch.from_numpy(order[count:])
    x, target = torch.from_numpy(np.array(embeddings, np.float32)), torch.from_numpy(similarities)
    x = x - x[training].mean(dim=0)
    generator = torch.Generator().manual_seed(run.seed)
    weight = (torch.randn(similarities.shape[1], embeddings.shape[1], generator=generator) / embeddings.shape[1] ** 0.5).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=settings.learning_rate)
    best, best_weight = torch.full((similarities.shape[1],), -1.0), weight.detach().clone()
    for step in range(settings.steps + 1):
        if step % _VALIDATED_EVERY == 0 or step == settings.steps:
            run.check()
            run.report(step, settings.steps, "Learning the projection")
            with torch.no_grad():
                now = cos_cubed(x[held] @ weight.T, target[held])
            if step and now.mean() < best.mean():
                break
            best, best_weight = now, weight.detach().clone()
            if step == settings.steps:
                break
        optimizer.zero_grad()
        (-cos_cubed(x[training] @ weight.T, target[training]).mean()).backward()
        optimizer.step()
    return best_weight.numpy(), best.numpy()


PART = MethodPart(
    "label-free",
    "A projection of the embedding learns to follow CLIP's similarity to each word; words that no image shows, or that the projection "
    "does not learn, are left out.",
    LabelFreeSettings,
    label="Label-free CBM",
    source="Oikarinen et al. 2023 (ICLR), section 3, equation 2",
    needs=lambda settings: ("words",),
    fit=fit,
)
