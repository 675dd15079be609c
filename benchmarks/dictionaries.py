"""Dictionaries on real CLIP embeddings: reconstruction and sparsity of every variant beside its baselines, on rows that training never saw.

    python benchmarks/dictionaries.py --data ../shared/clip-data --width 4096 --k 32

Trains on the `train` and `fewshot*` rows of all ViT-B/32 sets and measures on the `test` rows of Caltech-101.
Thresholds are calibrated on one half of those, figures taken on the other. Prints a table and writes JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cbm.dictionaries.baselines import baselines_table
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.calibration import recalibrated
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.topk import TopK
from cbm.dictionaries.trainer import train
from cbm.metrics.reconstruction import ReconstructionMetrics, measure_reconstruction

VARIANTS = {
    "batchtopk": lambda width, k: BatchTopK(width, k),
    "topk": lambda width, k: TopK(width, k),
    "batchtopk-matryoshka": lambda width, k: BatchTopK(width, k, matryoshka=(1 / 16, 1 / 4, 1.0)),
}


def main() -> None:
    options = _options()
    folder = options.data / "vitb32"
    training = np.concatenate([_read(file) for file in sorted([*folder.glob("*/train.npz"), *folder.glob("*/fewshot*.npz")])])
    test = _read(folder / "caltech101" / "test.npz")
    records = []
    for name in options.variants:
        trained = train(training, TrainingConfig(VARIANTS[name](options.width, options.k), seed=options.seed))
        records.append(_record(name, trained.dictionary, training, test, options.k, trained.samples_per_second))
    baselines = baselines_table(training, test[1::2], options.k, options.seed)
    records.extend({"name": row.name, **row.metrics.to_json()} for row in baselines)
    print(f"{'dictionary':24}{'FVU':>8}{'cosine':>8}{'L0':>8}{'L0 as trained':>15}{'dead':>8}{'samples/s':>11}")
    for record in records:
        extra = f"{record['l0_as_trained']:15.1f}" if "l0_as_trained" in record else " " * 15
        speed = f"{record['samples_per_second']:11.0f}" if "samples_per_second" in record else ""
        dead = record.get("dead_on_training_rows", record["dead"])
        print(f"{record['name']:24}{record['fvu']:8.3f}{record['cosine_centred']:8.3f}{record['l0_mean']:8.1f}{extra}{dead:8.4f}{speed}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        json.dumps({"width": options.width, "k": options.k, "training_rows": len(training), "rows": records}, indent=2)
    )


def _record(name: str, dictionary: JumpReluDictionary, training: np.ndarray, test: np.ndarray, k: int, speed: float) -> dict[str, object]:
    as_trained = measure_reconstruction(dictionary, test[1::2])
    metrics: ReconstructionMetrics = measure_reconstruction(recalibrated(dictionary, test[::2], k), test[1::2])
    return {
        "name": name,
        **metrics.to_json(),
        "l0_as_trained": as_trained.l0_mean,
        "fvu_as_trained": as_trained.fvu,
        "dead_on_training_rows": measure_reconstruction(dictionary, training).dead,
        "samples_per_second": speed,
    }


def _read(file: Path) -> np.ndarray:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["embeddings"].astype(np.float32)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/clip-data"))
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="+", choices=sorted(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/dictionaries.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
