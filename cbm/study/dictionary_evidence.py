"""What a dictionary fires on, from a sample of the images it was learned from: pictures of concepts, and how often each fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from jaxtyping import Float64, Int64

from cbm.dictionaries.base import Dictionary
from cbm.embeddings.sets import EmbeddingSet

SAMPLE = 4096
"""Images that are looked at; a second's work for the widest dictionaries."""
_RAREST, _MOST_COMMON = 0.004, 0.25
"""Shares of the images between which a concept tells something: rarer ones are single pictures, commoner ones are everywhere."""


@dataclass(frozen=True, eq=False)
class DictionaryEvidence:
    """Codes of a sample, by concept. Shared by all visitors and never changed."""

    columns: scipy.sparse.csc_matrix
    """[images, concepts]"""
    uris: tuple[str, ...]
    total: int
    """Images that the sample was taken from."""

    @classmethod
    def of(cls, dictionary: Dictionary, sets: Sequence[EmbeddingSet], sample: int = SAMPLE) -> DictionaryEvidence:
        """Encode at most `sample` images, spread evenly over the sets."""
        total = sum(len(part) for part in sets)
        rows = np.linspace(0, total - 1, min(total, sample)).astype(np.int64)
        starts = np.cumsum([0, *(len(part) for part in sets)])
        vectors, uris = [], []
        for part, start in zip(sets, starts, strict=False):
            own = rows[(rows >= start) & (rows < start + len(part))] - start
            vectors.append(np.asarray(part.embeddings[own], np.float32))
            uris.extend(part.items["uri"].iloc[own].astype(str))
        codes = dictionary.encode(np.concatenate(vectors))
        return cls(codes.to_csr().tocsc(), tuple(uris), total)

    @property
    def images(self) -> int:
        return len(self.uris)

    @property
    def concepts(self) -> int:
        return int(self.columns.shape[1])

    @cached_property
    def frequency(self) -> Float64[np.ndarray, " concepts"]:
        """Share of the sample on which each concept fires."""
        return np.diff(self.columns.indptr) / max(1, self.images)

    @cached_property
    def active(self) -> Int64[np.ndarray, " images"]:
        """Concepts that fire on each image."""
        return np.bincount(self.columns.indices, minlength=self.images)

    @cached_property
    def _energy(self) -> Float64[np.ndarray, " concepts"]:
        return np.asarray(self.columns.multiply(self.columns).sum(axis=0), np.float64).ravel()

    def telling(self, count: int) -> tuple[int, ...]:
        """Concepts that carry most, leaving out those that fire on single images or on nearly all."""
        fits = (self.frequency >= max(_RAREST, 3 / max(1, self.images))) & (self.frequency <= _MOST_COMMON)
        order = np.argsort(-np.where(fits, self._energy, self._energy * 1e-9), kind="stable")
        return tuple(int(concept) for concept in order[:count] if self._energy[concept] > 0)

    def strongest(self, concept: int, count: int = 6) -> tuple[str, ...]:
        """URIs of the images on which a concept is strongest, strongest first."""
        start, stop = self.columns.indptr[concept : concept + 2]
        order = np.argsort(-self.columns.data[start:stop], kind="stable")[:count]
        return tuple(self.uris[row] for row in self.columns.indices[start:stop][order] if self.uris[row])

    def portrait(self, count: int = 6) -> tuple[str, ...]:
        """One picture of each of the most telling concepts, all different."""
        shown: list[str] = []
        for concept in self.telling(4 * count):
            picture = next((uri for uri in self.strongest(concept) if uri not in shown), None)
            if picture is not None and len(shown) < count:
                shown.append(picture)
        return tuple(shown)
