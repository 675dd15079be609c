"""Many dictionaries in one piece of work: every width with every sparsity and every seed, and which of them to take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

from cbm.core.errors import InvalidInputError
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.dictionaries.base import Dictionary, load_dictionary
from cbm.verbs.common import JoinedSets, WorkspaceLike, join_sets, open_workspace
from cbm.verbs.discovery import discover
from cbm.verbs.results import Discovered, SweepRun, Swept
from cbm.verbs.stages import Stages
from cbm.workspace.workspace import Workspace

MOST_RUNS = 100
NEARLY = 0.02
"""Runs whose FVU lies so close to the best are as good, and the sparser and narrower one is easier to read."""
_CHUNK = 1024
_PROBES = 4096
"""Embeddings on which it is counted how often each latent fires."""

Run = tuple[int, int, int]
"""Width, k, seed."""


def sweep(
    embeddings: Sequence[str],
    *,
    widths: Sequence[int],
    ks: Sequence[int],
    seeds: Sequence[int] = (0,),
    variant: str = "batchtopk",
    epochs: int | None = None,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Swept:
    """Train a dictionary for every width, k and seed, and compare them; dictionaries that exist are not trained again.

    Narrow ones come first. Stopped, every finished dictionary is kept, and the same request goes on with the next.

    Args:
        widths, ks, seeds: what is combined; pairs with k above the width are left out.

    Raises:
        InvalidInputError: nothing to train, or more than `MOST_RUNS` dictionaries.
        Cancelled: stopped.
    """
    home = open_workspace(workspace)
    joined = join_sets(home, embeddings)
    wanted: list[Run] = [
        (width, k, seed) for width in sorted(set(widths)) for k in sorted(set(ks)) for seed in sorted(set(seeds)) if k <= width
    ]
    if not 1 <= len(wanted) <= MOST_RUNS:
        raise InvalidInputError(
            f"{len(wanted)} dictionaries were asked for; a sweep trains 1 to {MOST_RUNS}, of widths at least as large as k. "
            "Give fewer widths, sparsities or seeds."
        )
    stages = Stages([(f"width {width:,}, k {k}, seed {seed}", float(width)) for width, k, seed in wanted], progress, cancelled)
    found: list[Discovered] = []
    for width, k, seed in wanted:
        with stages.next() as tell:
            found.append(
                discover(
                    joined.ids,
                    variant=variant,
                    width=width,
                    k=k,
                    epochs=epochs,
                    seed=seed,
                    workspace=home,
                    device=device,
                    progress=tell,
                    cancelled=cancelled,
                )
            )
    stabilities = _stabilities(home, joined, wanted, [run.dictionary for run in found])
    runs = tuple(
        SweepRun(one.dictionary, width, k, seed, one.fvu, one.cosine, one.l0, one.dead, stability, one.seconds)
        for (width, k, seed), one, stability in zip(wanted, found, stabilities, strict=True)
    )
    return Swept(runs, suggest(runs))


def suggest(runs: Sequence[SweepRun]) -> str | None:
    """The dictionary worth taking: of those nearly as good as the best (FVU within `NEARLY`) the one with the smallest k, then width.

    None without runs. A figure of taste, not of truth: the chart shows what else there is.
    """
    if not runs:
        return None
    best = min(run.fvu for run in runs)
    near = [run for run in runs if run.fvu <= best + NEARLY]
    return min(near, key=lambda run: (run.k, run.width, run.fvu)).dictionary


def stability(
    first: Float32[np.ndarray, "size dim"], second: Float32[np.ndarray, "other dim"], weights: Float64[np.ndarray, " size"]
) -> float:
    """Mean over the directions of `first` of the cosine with the nearest one of `second`; 1 where each is found again exactly.

    The cheap form of the matching in Paulo and Belrose 2025 (arXiv 2501.16615): one direction may be the nearest of several.

    Args:
        weights: how much each direction of `first` counts, such as how often it fires; dead ones, which nothing shaped, count zero.
    """
    total = float(weights.sum())
    if total == 0:
        return 0.0
    nearest = [(first[start : start + _CHUNK] @ second.T).max(axis=1) for start in range(0, len(first), _CHUNK)]
    return float(np.concatenate(nearest).astype(np.float64) @ weights / total)


def _stabilities(home: Workspace, joined: JoinedSets, wanted: Sequence[Run], dictionaries: Sequence[str]) -> list[float | None]:
    """For each run the mean stability against the runs that differ in their seed alone."""
    rows = np.linspace(0, len(joined.embeddings) - 1, min(len(joined.embeddings), _PROBES)).astype(np.int64)
    probes = joined.embeddings[rows]
    groups: dict[tuple[int, int], list[int]] = {}
    for position, (width, k, _) in enumerate(wanted):
        groups.setdefault((width, k), []).append(position)
    result: list[float | None] = [None] * len(wanted)
    for members in groups.values():
        if len(members) > 1:
            loaded = {member: load_dictionary(home.get(dictionaries[member]).path) for member in members}
            for member, dictionary in loaded.items():
                weights = _firings(dictionary, probes)
                others = [stability(dictionary.directions, loaded[other].directions, weights) for other in members if other != member]
                result[member] = float(np.mean(others))
    return result


def _firings(dictionary: Dictionary, probes: Float32[np.ndarray, "rows dim"]) -> Float64[np.ndarray, " size"]:
    codes = dictionary.encode(probes)
    return np.bincount(codes.indices[codes.values != 0], minlength=dictionary.size).astype(np.float64)
