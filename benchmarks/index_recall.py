"""What the index finds and how fast, beside exact search.

    python benchmarks/index_recall.py [--rows N] [--vectors FILE.npz …]

Two worlds bracket what users bring: vectors in clusters, as CLIP's of photographs are, and sparse mixtures of random atoms without any.
Real vectors (`--vectors`, arrays called `embeddings`) are repeated with noise up to the number of rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cbm.embeddings.index import FLAT_LIMIT, VectorIndex

RESULTS = Path(__file__).parent / "results"
QUERIES = 256
NEIGHBOURS = 10


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered(rows: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    centres = generator.normal(size=(2000, dim)).astype(np.float32)
    return unit(centres[generator.integers(2000, size=rows)] + 0.6 * generator.standard_normal((rows, dim), dtype=np.float32))


def unclustered(rows: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    atoms = generator.normal(size=(4096, dim)).astype(np.float32)
    vectors = np.zeros((rows, dim), np.float32)
    for _ in range(24):
        vectors += atoms[generator.integers(4096, size=rows)] * generator.uniform(0.2, 1, size=(rows, 1)).astype(np.float32)
    return unit(vectors)


def real(files: list[str], rows: int, generator: np.random.Generator) -> np.ndarray:
    known = np.concatenate([np.load(file, allow_pickle=False)["embeddings"].astype(np.float32) for file in files])
    chosen = known[np.arange(rows) % len(known)]
    spread = 0.3 * known.std(axis=0)
    return unit(chosen + spread * generator.standard_normal(chosen.shape, dtype=np.float32))


def measure(name: str, vectors: np.ndarray, flat_limit: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(1)
    queries = unit(
        vectors[generator.choice(len(vectors), QUERIES, replace=False)] + 0.02 * generator.normal(size=(QUERIES, vectors.shape[1]))
    )
    rows = []
    exact = None
    with tempfile.TemporaryDirectory() as folder:
        for limit in (len(vectors), flat_limit):
            started = time.perf_counter()
            index = VectorIndex(Path(folder), vectors, flat_limit=limit)
            built = time.perf_counter() - started
            index.search(queries[:1], NEIGHBOURS)
            started = time.perf_counter()
            for query in queries[:20]:
                index.search(query[None], NEIGHBOURS)
            single = (time.perf_counter() - started) / 20
            started = time.perf_counter()
            found = index.search(queries, NEIGHBOURS).rows
            batch = QUERIES / (time.perf_counter() - started)
            exact = found if exact is None else exact
            recall = float(np.mean([len(np.intersect1d(a, b)) / NEIGHBOURS for a, b in zip(found, exact, strict=True)]))
            rows.append(
                {
                    "vectors": name,
                    "index": index.info.kind,
                    "probes": index.info.probes,
                    "build_seconds": built,
                    "recall_stated": index.info.recall,
                    "recall_of_new_queries": recall,
                    "single_query_ms": single * 1e3,
                    "batch_queries_per_second": batch,
                }
            )
            print(
                f"{name:12s} {index.info.kind:16s} probes {index.info.probes:4d}  build {built:6.1f} s  "
                f"recall stated {index.info.recall:.3f} new {recall:.3f}  {single * 1e3:7.2f} ms  {batch:7.0f} queries/s",
                flush=True,
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--flat-limit", type=int, default=FLAT_LIMIT)
    parser.add_argument("--vectors", nargs="*", default=[], help="npz files of real vectors")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    results = measure("clustered", clustered(options.rows, options.dim, generator), options.flat_limit)
    results += measure("unclustered", unclustered(options.rows, options.dim, generator), options.flat_limit)
    if options.vectors:
        results += measure("real", real(options.vectors, options.rows, generator), options.flat_limit)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "index_recall.json").write_text(json.dumps({"rows": options.rows, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
