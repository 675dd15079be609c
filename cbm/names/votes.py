"""Votes: every image says which names suit it best among all names; a latent collects the votes of the images that activate it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from jaxtyping import Float32

from cbm.core.codes import Codes
from cbm.names.candidates import NAMES_AT_A_TIME
from cbm.names.combined import VotesConfig

DEFAULT_VOTES = VotesConfig()
_SCORES_AT_A_TIME = 16_000_000
"""Images × names of one chunk of similarities: 64 MB."""


class Votes:
    """Shares of votes of all latents, computed a chunk of names at a time.

    The similarity of image i and name c is the cosine of their embeddings, each minus its modality's mean. It is standardised over the
    images, s_ic -> (s_ic - mean_i s_ic) / std_i s_ic, so that a name near every image has no lead (hubs) and a name whose similarities
    hardly vary is not lost. Image i then votes P_ic = softmax_c(sharpness · s_ic), and latent k collects
    V_kc = Σ_i z_ik^power P_ic / Σ_i z_ik^power over the images with positive activation z_ik. Rows of V sum to 1.
    """

    def __init__(
        self,
        codes: Codes,
        images: Float32[np.ndarray, "images dim"],
        names: Float32[np.ndarray, "names dim"],
        config: VotesConfig = DEFAULT_VOTES,
    ) -> None:
        """
        Args:
            images: centred unit rows, in the order of `codes`.
            names: centred unit rows.
        """
        self._images, self._names, self._sharpness = images, names, config.sharpness
        self._weights = _image_weights(codes, config.power)
        # Mean and deviation over the images of a product with each name, without making the products: both follow from two moments.
        self._mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviations = images - self._mean
        self._covariance = (deviations.T @ deviations) / len(images)
        self._normaliser = self._log_normaliser()

    def chunks(self) -> Iterator[tuple[slice, Float32[np.ndarray, "latents chunk"]]]:
        """Shares of votes of all latents for one slice of the names after the other."""
        for chunk in self._slices():
            shares = np.exp(self._votes_of(chunk) - self._normaliser[:, None])
            yield chunk, np.asarray(self._weights @ shares, np.float32)

    def _slices(self) -> Iterator[slice]:
        step = int(np.clip(_SCORES_AT_A_TIME // max(len(self._images), 1), 1, NAMES_AT_A_TIME))
        for start in range(0, len(self._names), step):
            yield slice(start, min(start + step, len(self._names)))

    def _votes_of(self, chunk: slice) -> Float32[np.ndarray, "images chunk"]:
        names = self._names[chunk]
        deviation = np.sqrt(np.maximum(np.einsum("cd,de,ce->c", names, self._covariance, names, optimize=True), 1e-12))
        standardising = (self._sharpness / deviation).astype(np.float32)
        return self._images @ (names * standardising[:, None]).T - (names @ self._mean * standardising)[None, :]

    def _log_normaliser(self) -> Float32[np.ndarray, " images"]:
        """log Σ_c exp(sharpness · s_ic) of every image, without images × names in memory."""
        largest = np.full(len(self._images), -np.inf, np.float32)
        total = np.zeros(len(self._images), np.float64)
        for chunk in self._slices():
            votes = self._votes_of(chunk)
            higher = np.maximum(largest, votes.max(axis=1))
            total = total * np.exp(largest - higher, dtype=np.float64) + np.exp(votes - higher[:, None]).sum(axis=1, dtype=np.float64)
            largest = higher
        return (largest + np.log(total)).astype(np.float32)


def _image_weights(codes: Codes, power: float) -> scipy.sparse.csr_matrix:
    """[latents, images] with rows that sum to 1 (or are empty): positive activations, relative to the latent's largest, to `power`."""
    columns = scipy.sparse.csr_matrix(codes.to_csr().maximum(0)).T.tocsr()
    columns.eliminate_zeros()
    largest = columns.max(axis=1).toarray().ravel()
    row = np.repeat(np.arange(codes.size), np.diff(columns.indptr))
    columns.data = (columns.data / largest[row]) ** np.float32(power)
    total = np.bincount(row, weights=columns.data, minlength=codes.size)
    columns.data = (columns.data / total[row]).astype(np.float32)
    return columns
