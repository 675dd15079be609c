"""Whether codes keep the neighbourhoods of the embeddings that they are of."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64

from cbm.core.arrays import unit_rows
from cbm.core.codes import Codes

NEIGHBOURS = 10


def neighbourhood_alignment(embeddings: Float[np.ndarray, "rows dim"], codes: Codes, neighbours: int = NEIGHBOURS) -> float:
    """CKNNA of embeddings and codes (Huh et al. 2024, arXiv 2405.07987, as MSAE computes it); 1 for the same geometry, about 0 for none.

    With K and L the cosines between images by embeddings and by codes, and a the pairs in which the second is among the nearest
    neighbours of the first by both, it is H(a∘K, a∘L) / √(H(a_K∘K, a_K∘K) H(a_L∘L, a_L∘L)), where a_K and a_L are the neighbours by one
    alone, and H is the unbiased estimate of HSIC (Song et al. 2012).

    Trap: time and memory grow with the square of the images; draw 2,000 to 10,000 of them. An image without any active concept has no
    neighbours by its code, only ties. NaN where one side has no variation at all.

    Raises:
        ValueError: fewer than four images, or not more images than neighbours.
    """
    rows = len(embeddings)
    if rows != len(codes):
        raise ValueError(f"{rows} embeddings and {len(codes)} codes are not of the same images")
    if rows < 4 or rows <= neighbours:
        raise ValueError(f"{rows} images are too few for {neighbours} neighbours each")
    directions = unit_rows(embeddings).astype(np.float64)
    by_embedding = directions @ directions.T
    by_code = _code_cosines(codes)
    near, near_by_code = _nearest(by_embedding, neighbours), _nearest(by_code, neighbours)
    both = near & near_by_code
    shared = unbiased_hsic(by_embedding * both, by_code * both)
    own = unbiased_hsic(by_embedding * near, by_embedding * near) * unbiased_hsic(by_code * near_by_code, by_code * near_by_code)
    return float(shared / np.sqrt(own)) if own > 0 else float("nan")


def unbiased_hsic(first: Float64[np.ndarray, "rows rows"], second: Float64[np.ndarray, "rows rows"]) -> float:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion of two matrices of similarities; their diagonals do not count.

    H = [tr(K Lᵀ) + 1ᵀK1 · 1ᵀL1 / ((m-1)(m-2)) - 2/(m-2) · 1ᵀKᵀL1] / (m(m-3)), with zero diagonals (Song et al. 2012, equation 4).
    """
    m = len(first)
    first, second = first.copy(), second.copy()
    np.fill_diagonal(first, 0)
    np.fill_diagonal(second, 0)
    trace = float(np.sum(first * second))
    sums = float(first.sum() * second.sum()) / ((m - 1) * (m - 2))
    cross = 2 / (m - 2) * float(first.sum(axis=1) @ second.sum(axis=1))
    return (trace + sums - cross) / (m * (m - 3))


def _code_cosines(codes: Codes) -> Float64[np.ndarray, "rows rows"]:
    rows = codes.to_csr().astype(np.float64)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    scale = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    cosines: Float64[np.ndarray, "rows rows"] = (rows @ rows.T).toarray() * scale[:, None] * scale
    return cosines


def _nearest(cosines: Float64[np.ndarray, "rows rows"], neighbours: int) -> Bool[np.ndarray, "rows rows"]:
    others = cosines.copy()
    np.fill_diagonal(others, -np.inf)
    found = np.argpartition(-others, neighbours - 1, axis=1)[:, :neighbours]
    near = np.zeros(cosines.shape, bool)
    np.put_along_axis(near, found, True, axis=1)
    return near
