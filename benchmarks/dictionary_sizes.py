"""How wide a dictionary should be for how many images: the rule of `cbm.dictionaries.sizes` beside half and twice to four times its width.

    python benchmarks/dictionary_sizes.py [--data ../shared/clip-data] [--output benchmarks/results/dictionary_sizes.json]

On scenes of the known-answer world (their truth is what is found), and with --data on ViT-B/32 vectors of Caltech-101 (their classes are).
Everything is measured on images that no dictionary saw: FVU, mean over the known concepts of the best latent's AUC, and the share of
concepts with a latent above 0.9. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from cbm import verbs
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.sizes import sound_size
from cbm.dictionaries.trainer import train
from cbm.embeddings.sets import load_set
from cbm.metrics.reconstruction import measure_reconstruction
from cbm.metrics.truth import area_under_roc
from cbm.workspace.workspace import Workspace

COUNTS = (60, 300, 1000)
FACTORS = (0.5, 1.0, 2.0, 4.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with vitb32/caltech101/{train,test}.npz")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/dictionary_sizes.json"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    worlds = {"scenes": _scenes()}
    if options.data is not None:
        worlds["caltech101"] = _caltech(options.data / "vitb32" / "caltech101")
    records = []
    print(f"{'images of':12}{'count':>7}{'width':>7}{'k':>4}{'':>6}{'FVU':>8}{'dead':>7}{'AUC':>8}{'found':>7}{'seconds':>9}")
    for name, (training, test, truth) in worlds.items():
        order = np.random.default_rng(options.seed).permutation(len(training))
        for count in (*(count for count in COUNTS if count < len(training)), len(training)):
            rows = training[order[:count]]
            sound = sound_size(count, rows.shape[1])
            for factor in FACTORS:
                width = max(8, round(sound.width * factor))
                record = {"world": name, "count": count, "width": width, "k": min(sound.k, width), "rule": factor == 1.0}
                record |= _measure(rows, test, truth, width, record["k"], options.seed)
                records.append(record)
                mark = "rule" if factor == 1.0 else ""
                print(
                    f"{name:12}{count:7}{width:7}{record['k']:4}{mark:>6}{record['fvu']:8.3f}{record['dead']:7.2f}"
                    f"{record['auc']:8.3f}{record['found']:7.0%}{record['seconds']:9.1f}",
                    flush=True,
                )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps({"seed": options.seed, "rows": records}, indent=2) + "\n")


def _measure(rows: np.ndarray, test: np.ndarray, truth: np.ndarray, width: int, k: int, seed: int) -> dict[str, float]:
    started = time.perf_counter()
    dictionary = train(rows, TrainingConfig(BatchTopK(width, k), seed=seed)).dictionary
    seconds = time.perf_counter() - started
    best = np.nanmax(area_under_roc(dictionary.encode(test), truth), axis=0)
    return {
        "fvu": measure_reconstruction(dictionary, test).fvu,
        "dead": measure_reconstruction(dictionary, rows).dead,
        "auc": float(np.nanmean(best)),
        "found": float((best > 0.9).mean()),
        "seconds": seconds,
    }


def _scenes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        home = Workspace(folder)
        sources = ("scenes:free?count=4000&split=train", "scenes:free?count=1000&split=test")
        training, test = (load_set(home, verbs.embed(source, workspace=home).embeddings) for source in sources)
        return np.array(training.embeddings), np.array(test.embeddings), test.truth


def _caltech(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = []
    for name in ("train", "test"):
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            vectors = arrays["embeddings"].astype(np.float32)
            parts.append((vectors / np.linalg.norm(vectors, axis=1, keepdims=True), arrays["labels"]))
    (training, _), (test, labels) = parts
    return training, test, np.eye(int(labels.max()) + 1, dtype=bool)[labels]


if __name__ == "__main__":
    main()
