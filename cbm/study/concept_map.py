"""Concepts on a plane: which directions lie near each other, a layout that keeps them near, and names for regions of it.

The layout follows PaCMAP (Wang, Huang, Rudin and Shaposhnik, "Understanding how dimension reduction tools work", JMLR 2021, section 4):
near pairs attract, mid-near pairs keep the whole in shape during the first phases, further pairs repel. All pairs are drawn from one seed,
and every step moves all points at once, so that the same directions and seed give the same map.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from cbm.core.arrays import read_arrays, unit_rows, write_arrays
from cbm.core.errors import CorruptArtifactError, InvalidInputError

NEIGHBOURS = 12
"""Nearest directions that are kept for every concept."""
_EXACT_UP_TO = 20_000
"""Concepts; beyond, neighbours are found approximately, by inverted lists."""
_MID_NEAR, _FURTHER = 5, 16
_PHASES = (80, 160, 300)
"""Steps at which the pull of mid-near pairs has faded, stays, and ends."""
_VERSION = "1"

Progress = Callable[[float], None]


@dataclass(frozen=True)
class ConceptMap:
    """Where each concept stands, and its nearest directions."""

    positions: Float32[np.ndarray, "concepts 2"]
    """Between −1 and 1."""
    neighbours: Int32[np.ndarray, "concepts near"]
    """Nearest first, without the concept itself; −1 where there are fewer."""
    similarities: Float32[np.ndarray, "concepts near"]
    """Cosines of the directions."""

    def save(self, file: Path) -> None:
        """Write the map to a file, whole or not at all."""
        write_arrays(file, {"positions": self.positions, "neighbours": self.neighbours, "similarities": self.similarities}, _VERSION)

    @classmethod
    def load(cls, file: Path, size: int) -> ConceptMap:
        """The map that `save` wrote.

        Raises:
            CorruptArtifactError: the file is missing, damaged, or of another number of concepts.
        """
        arrays = read_arrays(file, ("positions", "neighbours", "similarities"), _VERSION)
        if arrays["positions"].shape != (size, 2) or len(arrays["neighbours"]) != size:
            raise CorruptArtifactError(f"{file} maps {len(arrays['positions'])} concepts, not {size}; remove the file.")
        return cls(arrays["positions"], arrays["neighbours"], arrays["similarities"])


def stored_map(folder: Path, directions: Float[np.ndarray, "concepts dim"] | None, *, keep: bool) -> ConceptMap | None:
    """The map that `folder` holds of these directions; made, and kept there, where it has none. None for fewer than two directions."""
    if directions is None or len(directions) < 2:
        return None
    digest = hashlib.sha256(np.ascontiguousarray(directions).tobytes()).hexdigest()[:24]
    file = folder / f"{digest}.safetensors"
    try:
        return ConceptMap.load(file, len(directions))
    except CorruptArtifactError:
        made = map_concepts(directions)
        if keep:
            # A workspace on a full or read-only disk still has a map.
            with contextlib.suppress(OSError):
                made.save(file)
        return made


def map_concepts(directions: Float[np.ndarray, "concepts dim"], *, seed: int = 0, progress: Progress | None = None) -> ConceptMap:
    """Lay concepts out by their directions: 8192 take seconds, 100,000 minutes.

    Args:
        directions: one row for each concept, of any length but zero; only the angle counts.
        progress: told the finished share, 0 to 1.

    Raises:
        InvalidInputError: there are fewer than two concepts, or a number is not finite.
    """
    report = progress or (lambda _: None)
    rows = np.asarray(directions, dtype=np.float32)
    if rows.ndim != 2 or len(rows) < 2 or not np.isfinite(rows).all():
        raise InvalidInputError(f"A map needs a table of at least two finite directions; this one has the shape {rows.shape}.")
    unit = unit_rows(rows)
    neighbours, similarities = nearest_directions(unit)
    report(0.25)
    positions = _layout(unit, neighbours, seed, lambda share: report(0.25 + 0.75 * share))
    return ConceptMap(positions, neighbours, similarities)


def nearest_directions(
    unit: Float32[np.ndarray, "concepts dim"], count: int = NEIGHBOURS
) -> tuple[Int32[np.ndarray, "concepts near"], Float32[np.ndarray, "concepts near"]]:
    """The `count` nearest other directions of each, by cosine, nearest first: exact up to 20,000 concepts, approximate beyond."""
    import faiss

    size, dim = unit.shape
    count = min(count, size - 1)
    if size <= _EXACT_UP_TO:
        index: Any = faiss.IndexFlatIP(dim)
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, int(4 * np.sqrt(size)), faiss.METRIC_INNER_PRODUCT)
        index.train(unit)
        index.nprobe = 24
    index.add(unit)
    similarities, indices = index.search(unit, count + 1)
    # A direction that has a twin may find the twin before itself.
    own = indices == np.arange(size)[:, None]
    own[~own.any(axis=1), -1] = True
    kept = np.argsort(own, axis=1, kind="stable")[:, :count]
    found = np.take_along_axis(indices, kept, axis=1).astype(np.int32)
    return found, np.take_along_axis(similarities, kept, axis=1).astype(np.float32)


def _layout(
    unit: Float32[np.ndarray, "concepts dim"], neighbours: Int32[np.ndarray, "concepts near"], seed: int, report: Progress
) -> Float32[np.ndarray, "concepts 2"]:
    size = len(unit)
    generator = np.random.default_rng(seed)
    positions = _first_guess(unit, generator)
    near = np.where(neighbours >= 0, neighbours, np.arange(size)[:, None])[:, :10]
    middle = _mid_near(unit, generator)
    moment, square = np.zeros_like(positions), np.zeros_like(positions)
    for step in range(_PHASES[-1]):
        further = generator.integers(0, size, (size, _FURTHER))
        pull, shape = _weights(step)
        gradient = _force(positions, near, pull, 10.0)
        if shape:
            gradient += _force(positions, middle, shape, 10_000.0)
        gradient -= _force(positions, further, 1.0, 1.0)
        moment = 0.9 * moment + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        correction = np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        positions = positions - (correction * moment / (np.sqrt(square) + 1e-7)).astype(np.float32)
        if step % 10 == 9:
            report((step + 1) / _PHASES[-1])
    return _within_unit(positions)


def _weights(step: int) -> tuple[float, float]:
    """How strongly near and mid-near pairs attract at a step (PaCMAP, table 1, with shorter phases)."""
    if step < _PHASES[0]:
        share = step / _PHASES[0]
        return 2.0, 1000 * (1 - share) + 3 * share
    return (3.0, 3.0) if step < _PHASES[1] else (1.0, 0.0)


def _first_guess(unit: Float32[np.ndarray, "concepts dim"], generator: np.random.Generator) -> Float32[np.ndarray, "concepts 2"]:
    """The two strongest principal components, small; the sign of each is fixed, because solvers may choose either."""
    centred = unit - unit.mean(axis=0)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    plane = axes[:, -2:] if axes.shape[1] > 1 else np.concatenate([axes, axes], axis=1)
    plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])
    guess = 0.01 * centred @ plane.astype(np.float32)
    return (guess + 1e-4 * generator.standard_normal(guess.shape)).astype(np.float32)


def _mid_near(unit: Float32[np.ndarray, "concepts dim"], generator: np.random.Generator) -> Int[np.ndarray, "concepts pairs"]:
    """For each concept, of six others drawn at random the second nearest, several times."""
    size = len(unit)
    chosen = np.empty((size, _MID_NEAR), np.int64)
    for column in range(_MID_NEAR):
        drawn = generator.integers(0, size, (size, 6))
        cosines = np.stack([np.einsum("nd,nd->n", unit, unit[drawn[:, other]]) for other in range(6)], axis=1)
        chosen[:, column] = drawn[np.arange(size), np.argsort(-cosines, axis=1, kind="stable")[:, 1]]
    return chosen


def _force(
    positions: Float32[np.ndarray, "concepts 2"], others: Int[np.ndarray, "concepts pairs"], weight: float, scale: float
) -> Float32[np.ndarray, "concepts 2"]:
    """Gradient of Σ weight · d / (scale + d) over the pairs, where d = 1 + squared distance."""
    difference = positions[:, None, :] - positions[others]
    distance = 1 + np.einsum("npc,npc->np", difference, difference)
    pairs = difference * (2 * weight * scale / (scale + distance) ** 2)[..., None]
    target, size = others.ravel(), len(positions)
    back = [np.bincount(target, pairs[..., axis].ravel(), size) for axis in (0, 1)]
    return (pairs.sum(axis=1) - np.stack(back, axis=1)).astype(np.float32)


def _within_unit(positions: Float32[np.ndarray, "concepts 2"]) -> Float32[np.ndarray, "concepts 2"]:
    """Centred, stretched alike in both directions; the farthest half percent is drawn in, so that no outlier shrinks the rest."""
    centred = positions - np.median(positions, axis=0)
    reach = np.percentile(np.abs(centred), 99.5) or 1.0
    return np.clip(centred / (1.05 * reach), -1, 1).astype(np.float32)


@dataclass(frozen=True)
class Region:
    """A part of the map with a name."""

    name: str
    x: float
    y: float
    level: int
    """0 for the largest regions; the next levels are seen from nearer."""
    size: int


def name_regions(
    positions: Float32[np.ndarray, "concepts 2"],
    names: Sequence[str],
    importance: Float[np.ndarray, " concepts"],
    *,
    levels: Sequence[int] = (9, 36),
    seed: int = 0,
) -> tuple[Region, ...]:
    """Names for parts of the map: k-means on the plane, each part called after the two names that stand out in it.

    A name stands out by the importance that its concepts have in the part, times the share of it that lies there.

    Args:
        names: a name for each concept; blank where it has none worth showing.
        importance: which concepts name their neighbourhood; not positive leaves the concept out.
    """
    from scipy.cluster.vq import kmeans2

    weight = np.asarray(importance, dtype=np.float64)
    counted = np.flatnonzero((weight > 0) & np.array([bool(name.strip()) for name in names]))
    distinct = list(dict.fromkeys(names[concept] for concept in counted.tolist()))
    number = {name: index for index, name in enumerate(distinct)}
    called = np.array([number[names[concept]] for concept in counted.tolist()], dtype=np.int64)
    total = np.bincount(called, weight[counted], len(distinct))
    regions = []
    for level, count in enumerate(levels):
        if len(counted) < 3 * count:
            continue
        centres, part = kmeans2(positions[counted].astype(np.float64), count, minit="++", rng=seed + level)
        for index, (x, y) in enumerate(centres):
            members = part == index
            if members.sum() < 3:
                continue
            here = np.bincount(called[members], weight[counted][members], len(distinct))
            best = np.argsort(-(here**2 / total), kind="stable")[:2]
            regions.append(Region(" · ".join(distinct[name] for name in best if here[name]), float(x), float(y), level, int(members.sum())))
    return tuple(regions)
