"""Sparse heads at given numbers of effective concepts (NEC): a certified path over λ, strict truncation, refit on what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse

from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.heads.base import LinearHead, as_csr, checked_labels, stratified_split
from cbm.heads.dense_probe import spread_over_classes
from cbm.heads.problem import Penalty, SparseProblem, precision_for
from cbm.heads.proximal import Solution, SolverConfig, solve
from cbm.heads.refit import refit_ridge
from cbm.metrics.classification import STANDARD_NECS, accuracy, average_accuracy_over_necs


@dataclass(frozen=True)
class NecPathConfig:
    """How the path is walked and what happens after truncation."""

    l1_shares: tuple[float, ...] = (0.99, 0.5, 0.1)
    """α of the elastic net, tried in turn for the targets that the one before could not reach: an L1 optimum of n separable rows has at
    most about n weights, however small λ. The first is GLM-SAGA's. Every point says which it came from."""
    ratio: float = 0.7
    """λ of a step over that of the step before."""
    smallest_strength: float = 1 / 500
    """Where the path ends, as a share of λ_max (VLG-CBM, section 4)."""
    closeness: float = 1.03
    """Bisection in λ continues until an optimum has no more than this times the asked number of weights."""
    max_bisections: int = 6
    refit: Literal["auto", "none", "ridge"] = "auto"
    """After truncation: keep everything ("none"), or refit the kept weights and bias with a weak L2 ("ridge"),
    which undoes the shrinkage of L1. "auto" walks the path on a part of the training rows, too, and takes for every target "none" or the
    ridge, whichever is better on the rest."""
    ridge_strengths: tuple[float, ...] = (1e-2, 1e-3)
    """L2 strengths that "auto" and "ridge" choose from on the held-out part; mean cross-entropy + strength/2 ‖V‖²."""
    held_out: float = 0.2
    seed: int = 0
    max_iterations: int = 20_000


@dataclass(frozen=True)
class NecPoint:
    """One target of the path."""

    nec: float
    """The number of effective concepts that was asked for."""
    reached: bool
    """False where no optimum of the path has that many weights: then there is no head, and nothing replaces it."""
    head: LinearHead | None
    """Truncated to exactly `round(nec · classes)` weights."""
    accuracy: float | None
    """On the test rows; None without any."""
    lambda_: float | None
    """Penalty of the optimum before truncation."""
    l1_share: float | None
    """α of that penalty."""
    nec_before_truncation: float | None
    optimality_gap: float | None
    """Relative duality gap of the optimum before truncation."""
    iterations: int
    """Proximal steps that went into this target."""
    refit: str | None
    """What was done after truncation, for example "ridge 0.001"."""


@dataclass(frozen=True)
class PathStep:
    """One optimum that the path passed."""

    lambda_: float
    l1_share: float
    nec: float
    objective: float
    optimality_gap: float
    iterations: int


@dataclass(frozen=True)
class NecPath:
    """All targets in ascending order, with the trace of how they were found."""

    points: tuple[NecPoint, ...]
    trace: tuple[PathStep, ...]
    held_out_accuracies: Mapping[str, Mapping[float, float]]
    """By kind of refit and target, the accuracy on held-out training rows by which it was chosen; empty where there was no choice."""

    def point(self, nec: float) -> NecPoint:
        """The point of one target; raises KeyError for a target that was not asked for."""
        for point in self.points:
            if point.nec == nec:
                return point
        raise KeyError(f"NEC {nec} was not asked for; the path has {[point.nec for point in self.points]}")

    @property
    def average_accuracy(self) -> float | None:
        """ANEC over the path's own targets; None where one has no accuracy."""
        return average_accuracy_over_necs([point.accuracy for point in self.points])


def fit_nec_path(
    codes: Codes | sparse.csr_matrix,
    labels: np.ndarray,
    n_classes: int,
    necs: Sequence[float] = STANDARD_NECS,
    *,
    test: tuple[Codes, np.ndarray] | None = None,
    tolerance: float = 1e-3,
    config: NecPathConfig | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> NecPath:
    """Sparse heads at every NEC target (VLG-CBM, section 4, solved to optimality), from codes that stay sparse.

    λ falls from λ_max until the optimum has as many weights as asked, is bisected close to that number, and the optimum is truncated to
    the globally largest |V| on the standardised scale, where weights of rare and common concepts compare. `tolerance` is the relative
    duality gap of every optimum.
    Raises InvalidInputError for labels that do not fit and targets that are not positive; Cancelled when told to stop.
    """
    config = config or NecPathConfig()
    matrix = as_csr(codes)
    labels = checked_labels(labels, matrix.shape[0], n_classes)
    targets = tuple(sorted(set(necs)))
    if not targets or targets[0] <= 0:
        raise InvalidInputError(f"NEC targets must be positive numbers of concepts per class, not {list(necs)}")
    choices = _refit_choices(config)
    kept, held = stratified_split(labels, config.held_out, config.seed)
    report = _Reporter(progress, len(targets) * (2 if len(choices) > 1 and len(held) else 1))
    walker = _Walker(n_classes, targets, tolerance, config, report, cancelled)
    held_out: dict[str, dict[float, float]] = {}
    if len(choices) > 1 and len(held):
        # Close to the target is close enough to choose a refit by.
        rough = replace(walker, config=replace(config, max_bisections=1))
        held_out = _held_out_accuracies(rough, matrix[kept], labels[kept], Codes.from_csr(matrix[held]), labels[held], choices)
    found, problem, present, trace = walker.walk(matrix, labels)
    points = []
    for target in targets:
        optimum = found.get(target)
        if optimum is None:
            points.append(NecPoint(target, False, None, None, None, None, None, None, 0, None))
            continue
        chosen = choices[int(np.argmax([held_out.get(choice, {}).get(target, 0.0) for choice in choices]))]
        head = _finish(problem, optimum, walker.weight_count(target), chosen, present, n_classes)
        measured = accuracy(head.predict(test[0]), test[1]) if test is not None else None
        penalty, before = optimum.penalty, optimum.count / n_classes
        points.append(
            NecPoint(
                target, True, head, measured, penalty.strength, penalty.l1_share, before, optimum.optimality_gap, optimum.iterations, chosen
            )
        )
    return NecPath(tuple(points), tuple(trace), held_out)


def _refit_choices(config: NecPathConfig) -> tuple[str, ...]:
    ridges = tuple(f"ridge {strength:g}" for strength in config.ridge_strengths)
    return {"none": ("none",), "ridge": ridges, "auto": ("none", *ridges)}[config.refit]


class _Reporter:
    """Counts settled targets and passes on what the solver is at."""

    def __init__(self, progress: ProgressCallback | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def tell(self, solution: Solution, classes: int) -> None:
        if self.progress is not None:
            figures = {"lambda": solution.penalty.strength, "nec": solution.count / classes, "optimality_gap": solution.optimality_gap}
            self.progress(Progress(self.done, self.total, "sparse head", figures))


@dataclass(frozen=True)
class _Walker:
    """Finds, for every target, an optimum with at least that many weights and few more."""

    n_classes: int
    targets: tuple[float, ...]
    tolerance: float
    config: NecPathConfig
    report: _Reporter
    cancelled: CancelCheck | None

    def weight_count(self, target: float) -> int:
        return max(1, round(target * self.n_classes))

    def walk(
        self, matrix: sparse.csr_matrix, labels: np.ndarray
    ) -> tuple[dict[float, Solution], SparseProblem, np.ndarray, list[PathStep]]:
        """Optima by target, the problem that they solve, the classes that have rows, and every step taken."""
        present, compact = np.unique(labels, return_inverse=True)
        problem = SparseProblem(matrix, compact, len(present), precision_for(self.tolerance))
        found: dict[float, Solution] = {}
        trace: list[PathStep] = []
        settled = self.report.done + len(self.targets)
        for l1_share in self.config.l1_shares:
            largest = problem.smallest_strength_without_weights(l1_share)
            if largest == 0:
                break
            known = [self._solve(problem, largest, l1_share, None, trace)]
            for target in self.targets:
                if target in found:
                    continue
                optimum = self._reach(problem, known, self.weight_count(target), largest, trace)
                if optimum is None:
                    break
                found[target] = optimum
                self.report.done += 1
        self.report.done = settled
        return found, problem, present, trace

    def _solve(self, problem: SparseProblem, strength: float, l1_share: float, start: Solution | None, trace: list[PathStep]) -> Solution:
        solver = SolverConfig(self.tolerance, self.config.max_iterations)
        solution = solve(problem, Penalty(strength, l1_share), start=start, config=solver, cancelled=self.cancelled)
        nec = solution.count / self.n_classes
        trace.append(PathStep(strength, l1_share, nec, solution.objective, solution.optimality_gap, solution.iterations))
        self.report.tell(solution, self.n_classes)
        return solution

    def _reach(self, problem: SparseProblem, known: list[Solution], count: int, largest: float, trace: list[PathStep]) -> Solution | None:
        """Optimum of the largest λ with `count` weights, extending and refining `known` (λ descending); None where the path ends first."""
        while not any(solution.count >= count for solution in known):
            last = known[-1]
            strength = last.penalty.strength * self.config.ratio
            if strength < largest * self.config.smallest_strength or self._hopeless(known, count, largest):
                return None
            known.append(self._solve(problem, strength, last.penalty.l1_share, last, trace))
        for _ in range(self.config.max_bisections):
            above = next(position for position, solution in enumerate(known) if solution.count >= count)
            if above == 0 or known[above].count <= self.config.closeness * count:
                break
            below = known[above - 1]
            middle = float(np.sqrt(below.penalty.strength * known[above].penalty.strength))
            known.insert(above, self._solve(problem, middle, below.penalty.l1_share, below, trace))
        return next(solution for solution in known if solution.count >= count)

    def _hopeless(self, known: list[Solution], count: int, largest: float) -> bool:
        """Whether growth at the rate of the last step, which only falls towards the end of a path, misses `count` by the path's end."""
        if len(known) < 3 or known[-1].penalty.strength > 0.02 * largest or known[-2].count == 0:
            return False
        before, last = known[-2], known[-1]
        rate = np.log(last.count / before.count) / np.log(before.penalty.strength / last.penalty.strength)
        left = np.log(last.penalty.strength / (largest * self.config.smallest_strength))
        return bool(np.log(count / last.count) > rate * left)


def _held_out_accuracies(
    walker: _Walker, matrix: sparse.csr_matrix, labels: np.ndarray, held: Codes, held_labels: np.ndarray, choices: tuple[str, ...]
) -> dict[str, dict[float, float]]:
    found, problem, present, _ = walker.walk(matrix, labels)
    return {
        choice: {
            target: accuracy(
                _finish(problem, optimum, walker.weight_count(target), choice, present, walker.n_classes).predict(held), held_labels
            )
            for target, optimum in found.items()
        }
        for choice in choices
    }


def truncate(solution: Solution, count: int) -> Solution:
    """Keep the `count` globally largest |V|; among equals the lower class, then the lower concept."""
    if count >= solution.count:
        return solution
    kept = np.sort(np.argsort(-np.abs(solution.weights), kind="stable")[:count])
    return replace(solution, pairs=solution.pairs[kept], weights=solution.weights[kept])


def _finish(problem: SparseProblem, optimum: Solution, count: int, refit: str, present: np.ndarray, n_classes: int) -> LinearHead:
    """Truncate, refit, and fold back to raw activations."""
    cut = truncate(optimum, count)
    weights, bias = cut.weights, cut.bias
    if refit.startswith("ridge "):
        weights, bias = refit_ridge(problem, cut.pairs, weights, bias, float(refit.removeprefix("ridge ")))
    standardised = np.zeros((problem.classes, problem.concepts))
    standardised.ravel()[cut.pairs] = weights
    weight, folded = problem.fold(standardised, bias)
    full, full_bias = spread_over_classes(weight, folded, present, n_classes)
    details = {
        "solver": "nec-path",
        "lambda": optimum.penalty.strength,
        "l1_share": optimum.penalty.l1_share,
        "optimality_gap": optimum.optimality_gap,
        "nec_before_truncation": optimum.count / n_classes,
        "refit": refit,
    }
    return LinearHead(full.astype(np.float32), full_bias.astype(np.float32), "sparse", details)
