"""Sparse decompositions of images into words: rows per second of the batched solver beside scikit-learn's Lasso, in one run on one core.

    python benchmarks/decompositions.py --data ../shared/clip-data [--rows 512] [--peer-rows 100]

Caltech-101 test vectors (ViT-B/32, 512 dimensions) over 2,282 words, centred and normalised as SpLiCE does. The peer runs as SpLiCE's code
runs it (a fit for each image, tolerance 1e-6), and as fast as scikit-learn can (one fit for all images, whose Gram matrix is computed
once). Duality gaps of all are measured by one formula. Times are CPU seconds of one thread, so that a busy machine does not change the
ratio; the peer's rows are fewer, and the ratio is per row. Also: how many words an image has and how well they rebuild it, by penalty,
for SpLiCE and for Z-CBM (the nearest words alone).
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Lasso

from cbm.bottlenecks.nonnegative_lasso import NonNegativeLasso, SolverConfig
from cbm.bottlenecks.sparse_words import SparseWords, decomposition_figures
from cbm.bottlenecks.words import centred_texts
from cbm.core.arrays import unit_rows

PENALTIES = (0.35, 0.25, 0.15, 0.1)
"""As SpLiCE counts: ‖z − wD‖² + λ Σw."""
WORKING_SETS = (SolverConfig().working_set, 48, 128)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def by_scikit_learn(targets: np.ndarray, atoms: np.ndarray, penalty: float, *, together: bool) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Lasso(
            alpha=penalty / (2 * atoms.shape[1]), positive=True, fit_intercept=False, tol=1e-6, max_iter=10_000, precompute=together
        )
        if together:
            return np.atleast_2d(model.fit(np.asfortranarray(atoms.T), targets.T).coef_)
        return np.array([model.fit(atoms.T, target).coef_ for target in targets])


def compare(targets: np.ndarray, atoms: np.ndarray, penalty: float, peer_rows: int) -> dict[str, Any]:
    """Each solver's rows per second and its worst gap."""
    solvers: dict[str, dict[str, float]] = {}
    exact = atoms.astype(np.float64)
    for size in WORKING_SETS:
        solver = NonNegativeLasso(exact, penalty / 2, SolverConfig(working_set=size))
        solver.solve(targets[:8])
        found, seconds = timed(lambda solver=solver: solver.solve(targets))
        solvers[f"ours, working set {size}"] = {"rows_per_second": len(targets) / seconds, "gap": float(found.gap.max())}
    some, reference = targets[:peer_rows].astype(np.float64), NonNegativeLasso(exact, penalty / 2)
    best = reference.solve(some).weights.toarray()
    for name, together in (("scikit-learn, a fit for each image", False), ("scikit-learn, one fit, shared Gram", True)):
        weights, seconds = timed(lambda together=together: by_scikit_learn(some, exact, penalty, together=together))
        solvers[name] = {
            "rows_per_second": len(some) / seconds,
            "gap": float(reference.gap(some, weights).max()),
            "difference": float(np.abs(weights - best).max()),
        }
    return solvers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--peer-rows", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decompositions.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = _array(options.data / "vitb32/caltech101/test.npz", "embeddings")
    images = images[np.random.default_rng(0).permutation(len(images))[: options.rows]]
    mean = unit_rows(_array(options.data / "vitb32/caltech101/train.npz", "embeddings")).mean(axis=0)
    words = np.load(options.data / "vitb32/vocabulary.npz", allow_pickle=False)
    names, atoms = words["names"].tolist(), centred_texts(unit_rows(words["embeddings"].astype(np.float32)))
    targets = unit_rows(unit_rows(images) - mean)
    report: dict[str, Any] = {"rows": len(targets), "peer_rows": options.peer_rows, "atoms": atoms.shape, "speed": {}, "quality": []}
    for penalty in PENALTIES:
        solvers = report["speed"][penalty] = compare(targets, atoms, penalty, options.peer_rows)
        ours = solvers[f"ours, working set {SolverConfig().working_set}"]["rows_per_second"]
        for name, figures in solvers.items():
            ratio = ours / figures["rows_per_second"]
            print(f"λ {penalty:<5} {name:36} {figures['rows_per_second']:9.1f} rows/s  ratio {ratio:6.1f}x  gap {figures['gap']:.1e}")
    published = np.load(options.data / "means/splice_image_means.npz", allow_pickle=False)["clip_vitb32"].astype(np.float32)
    for centre, about in (("images of the set", mean), ("published", published)):
        for penalty in PENALTIES:
            for nearest in (None, 256, 64):
                figures = decomposition_figures(SparseWords(atoms, np.asarray(about, np.float32), names, penalty, nearest), images)
                report["quality"].append({"mean": centre, "penalty": penalty, "nearest": nearest, **figures})
                print(
                    f"mean: {centre:18} λ {penalty:<5} nearest {nearest or 'all':>4}  {figures['words_per_image']:5.1f} words an image, "
                    f"cosine {figures['cosine']:.3f}, about the mean {figures['centred_cosine']:.3f}, gap {figures['optimality_gap']:.1e}"
                )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def _array(file: Path, name: str) -> np.ndarray:
    return np.load(file, allow_pickle=False)[name].astype(np.float32)


if __name__ == "__main__":
    main()
