"""The demo's figures, and the same with random directions, k-means, PCA or the backbone's own dimensions in place of the dictionary.

    python benchmarks/demo.py [--workspace DIR] [--seed N]

Every row goes through the same verbs on the same scenes: only the dictionary differs. Prints a table and writes
benchmarks/results/demo.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from cbm import verbs
from cbm.core.errors import InvalidInputError
from cbm.demo import pipeline
from cbm.dictionaries.base import load_dictionary
from cbm.embeddings.sets import load_set
from cbm.images.scenes import SHORTCUT_BACKGROUNDS
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ConceptTable
from cbm.workspace.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "demo.json"
BASELINES = ("random", "kmeans", "pca", "neurons")
COLUMNS = (
    "concepts_discovered",
    "names_right",
    "pointing_game",
    "accuracy_nec5",
    "linear_probe",
    "worst_group_before",
    "worst_group_after",
)


def baseline_row(workspace: Workspace, variant: str, sets: dict[str, str], seed: int) -> dict[str, Any]:
    """The demo's figures with a baseline in place of the sparse autoencoder."""
    settings = pipeline.FULL
    found = verbs.discover(
        [sets["free"], sets["train"], sets["shortcut_train"]],
        variant=variant,
        width=settings.width,
        k=settings.k,
        workspace=workspace,
        seed=seed,
    )
    words = verbs.vocabulary("scenes", workspace=workspace)
    named = verbs.name(found.dictionary, words.vocabulary, workspace=workspace)
    truth = pipeline.measure_against_truth(
        load_dictionary(workspace.get(found.dictionary).path),
        ConceptTable.load(workspace.get(named.concepts).path),
        load_set(workspace, sets["free_test"]),
        settings.located,
    )
    row = {name: truth[name] for name in COLUMNS if name in truth}
    try:
        trained = verbs.train(named.concepts, sets["train"], test=sets["test"], workspace=workspace, seed=seed)
        row |= {"accuracy_nec5": trained.accuracy, "linear_probe": trained.linear_probe}
        shortcut = verbs.train(named.concepts, sets["shortcut_train"], test=sets["shortcut_test"], workspace=workspace, seed=seed)
        model = ConceptModel.load(workspace.get(shortcut.model).path)
        edited = verbs.edit(shortcut.model, pipeline.ablation_of(model, SHORTCUT_BACKGROUNDS), workspace=workspace)
        worst = edited.worst_group or {}
        row |= {"worst_group_before": worst.get("before"), "worst_group_after": worst.get("after")}
    except InvalidInputError as error:
        row["note"] = str(error)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="reuse or keep the artefacts here; a temporary folder when absent")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace(arguments.workspace or temporary)
        started = time.perf_counter()
        result = verbs.demo(workspace=workspace, seed=arguments.seed)
        seconds = time.perf_counter() - started
        sources = pipeline.scene_sources(pipeline.FULL, arguments.seed)
        sets = {name: verbs.embed(source, workspace=workspace).embeddings for name, source in sources.items()}
        rows: dict[str, dict[str, Any]] = {"dictionary": {name: result.metrics[name] for name in COLUMNS}}
        for variant in BASELINES:
            rows[variant] = baseline_row(workspace, variant, sets, arguments.seed)
    print(f"cbm demo: {seconds:.0f} s\n")
    print("| concepts from | " + " | ".join(column.replace("_", " ") for column in COLUMNS) + " |")
    print("| --- |" + " --- |" * len(COLUMNS))
    for name, row in rows.items():
        cells = ["–" if row.get(column) is None else f"{row[column]:.3f}" for column in COLUMNS]
        print(f"| {name} | " + " | ".join(cells) + " |" + (f"  {row['note']}" if "note" in row else ""))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"seconds": seconds, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
