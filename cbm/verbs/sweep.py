"""sweep: a dictionary for every width with every sparsity and every seed, and which of them to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.registry import DICTIONARIES
from cbm.verbs.base import Argument, AsJob, Hosted, OnDevice, VerbResult, verb
from cbm.verbs.discover import Discover, Discovered, discover
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32, Float64

    from cbm.dictionaries.base import Dictionary
    from cbm.verbs.joined_sets import JoinedSets

MOST_RUNS = 100
NEARLY = 0.02
"""Runs whose FVU lies so close to the best are as good, and the sparser and narrower one is easier to read."""
_CHUNK = 1024
_PROBES = 4096
"""Embeddings on which it is counted how often each latent fires."""

Combination = tuple[int, int, int]
"""Width, k, seed."""


@dataclass(frozen=True)
class Sweep(OnDevice):
    embeddings: Annotated[Sequence[str], Argument("EMB…")]
    """Ids of one or more embedding sets."""
    _: KW_ONLY
    widths: Annotated[Sequence[int], Hosted(16_384)]
    """Numbers of latents, such as 512,1024,2048."""
    ks: Annotated[Sequence[int], Hosted(512)]
    """Active latents per image, such as 8,16,32; pairs with k above the width are left out."""
    seeds: Sequence[int] = (0,)
    """Seeds, such as 0,1,2; with several, stability is measured."""
    variant: Annotated[str, DICTIONARIES] = "batchtopk"
    """How concepts are discovered."""
    epochs: Annotated[int | None, Hosted(2000)] = None
    """Passes over the embeddings; chosen by their number when absent."""


@dataclass(frozen=True)
class SweepRun(VerbResult):
    """One dictionary of a sweep."""

    dictionary: str
    width: int
    k: int
    seed: int
    fvu: float
    cosine: float
    l0: float
    dead: float
    stability: float | None
    """Mean over the other seeds of the same width and k of how closely this run's living directions are found again (cosine of the
    nearest, 0 to 1), weighted by how often each fires; None where there is no other seed."""
    seconds: float
    """Time it took to train, also where it had been trained before."""


@dataclass(frozen=True)
class Swept(VerbResult):
    runs: tuple[SweepRun, ...]
    """In the order of width, k, seed."""
    suggested: str | None
    """The dictionary worth taking: see `suggest`."""


def _figures(result: Mapping[str, Any]) -> str:
    return f"{counted(len(result['runs']), 'setting')} tried"


@verb(Sweep, job=AsJob("Try several settings", "discover", "Compare the settings", _figures))
def sweep(settings: Sweep, workspace: Workspace, run: Run) -> Swept:
    """Train a dictionary for every width, k and seed, and compare them; those that exist are not trained again.

    Narrow ones come first. Stopped, every finished dictionary is kept, and the same request continues with the next.

    Raises:
        InvalidInputError: nothing to train, or more than `MOST_RUNS` dictionaries.
        Cancelled: stopped.
    """
    from cbm.verbs.joined_sets import join_sets

    joined = join_sets(workspace, settings.embeddings)
    wanted: list[Combination] = [
        (width, k, seed)
        for width in sorted(set(settings.widths))
        for k in sorted(set(settings.ks))
        for seed in sorted(set(settings.seeds))
        if k <= width
    ]
    if not 1 <= len(wanted) <= MOST_RUNS:
        raise InvalidInputError(
            f"{len(wanted)} dictionaries were asked for; a sweep trains 1 to {MOST_RUNS}, of widths at least as large as k. "
            "Give fewer widths, sparsities or seeds."
        )
    stages = run.stages([(f"width {width:,}, k {k}, seed {seed}", float(width)) for width, k, seed in wanted])
    found: list[Discovered] = []
    for width, k, seed in wanted:
        with stages.next() as stage:
            request = Discover(joined.ids, variant=settings.variant, width=width, k=k, epochs=settings.epochs)
            found.append(discover.function(request, workspace, replace(stage, seed=seed)))
    stabilities = _stabilities(workspace, joined, wanted, [one.dictionary for one in found])
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
    import numpy as np

    total = float(weights.sum())
    if total == 0:
        return 0.0
    nearest = [(first[start : start + _CHUNK] @ second.T).max(axis=1) for start in range(0, len(first), _CHUNK)]
    return float(np.concatenate(nearest).astype(np.float64) @ weights / total)


def _stabilities(home: Workspace, joined: JoinedSets, wanted: Sequence[Combination], dictionaries: Sequence[str]) -> list[float | None]:
    """For each run the mean stability against the runs that differ in their seed alone."""
    import numpy as np

    from cbm.dictionaries.base import load_dictionary

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
    import numpy as np

    codes = dictionary.encode(probes)
    return np.bincount(codes.indices[codes.values != 0], minlength=dictionary.size).astype(np.float64)
