"""How well names fit what means nothing: the scores of random directions, from which the threshold for "unnamed" is measured."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes
from cbm.names.rules import DEFAULT_RULE, name_concepts
from cbm.registry import RULES

RANDOM_DIRECTIONS = 256
QUANTILE = 0.5
"""On ImageNet latents 99.5 % of the right names score above the median random direction; of the names below it 6 % are right."""
SEED = 0


def random_latents(directions: Float32[np.ndarray, "random dim"], images: Float32[np.ndarray, "images dim"], active: int) -> Codes:
    """Codes of `images` on given directions: each is active on the `active` images that lie furthest along it."""
    import scipy.sparse

    active = min(max(active, 1), len(images))
    along = images @ directions.T
    rows = np.argpartition(-along, active - 1, axis=0)[:active]
    values = np.take_along_axis(along, rows, axis=0)
    values = values - values.min(axis=0, keepdims=True) + 1e-6
    columns = np.broadcast_to(np.arange(len(directions)), rows.shape)
    matrix = scipy.sparse.coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape=(len(images), len(directions)))
    return Codes.from_csr(matrix.astype(np.float32).tocsr())


def measured_threshold(
    vocabulary_embeddings: Float[np.ndarray, "names dim"],
    *,
    rule: str = DEFAULT_RULE,
    codes: Codes | None = None,
    embeddings: Float[np.ndarray, "images dim"] | None = None,
    image_mean: Float[np.ndarray, " dim"] | None = None,
    text_mean: Float[np.ndarray, " dim"] | None = None,
    quantile: float = QUANTILE,
    seed: int = SEED,
) -> float:
    """What the best name of the median random direction scores, by the same rule on the same images and vocabulary.

    A name that fits a latent no better than names fit random directions says nothing about it.

    The random directions are isotropic; each is given as many images as a latent of `codes` is active on at the median.

    Raises:
        InvalidInputError: as `name_concepts`.
    """
    dim = vocabulary_embeddings.shape[1]
    directions = unit_rows(np.random.default_rng(seed).standard_normal((RANDOM_DIRECTIONS, dim)))
    random_codes = None
    if codes is not None and embeddings is not None and len(embeddings):
        images = np.asarray(embeddings, np.float32)
        centre = images.mean(axis=0) if image_mean is None else np.asarray(image_mean, np.float32)
        counts = np.bincount(codes.indices[codes.values > 0], minlength=codes.size)
        random_codes = random_latents(directions, images - centre, int(np.median(counts[counts > 0])) if counts.any() else 1)
        if RULES[rule].relative:
            # Its scores are relative to all latents that are named together, so that the random ones must stand among the dictionary's.
            random_codes = _beside(codes, random_codes)
            directions = np.concatenate([np.zeros((codes.size, dim), np.float32), directions])
    naming = name_concepts(
        directions,
        vocabulary_embeddings,
        rule=rule,
        codes=random_codes,
        embeddings=embeddings,
        image_mean=image_mean,
        text_mean=text_mean,
        candidates=1,
    )
    return float(np.quantile(naming.scores[-RANDOM_DIRECTIONS:, 0], quantile))


def _beside(codes: Codes, more: Codes) -> Codes:
    """Codes of the same images over the latents of both, those of `more` last."""
    shifted = np.where(more.values != 0, more.indices + codes.size, 0).astype(np.int32)
    indices, values = np.concatenate([codes.indices, shifted], axis=1), np.concatenate([codes.values, more.values], axis=1)
    return Codes(indices, values, codes.size + more.size)
