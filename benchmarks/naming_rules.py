"""Naming rules side by side on real CLIP embeddings: how often the latent of a known class bears exactly that class's name.

    python benchmarks/naming_rules.py --data ../shared/clip-data [--dictionary FOLDER] [--out benchmarks/results/naming_rules.json]

A dictionary (width 4096, k = 32) learns on the `train` and `fewshot*` rows of all ViT-B/32 sets, and those rows are also the images that
rules look at; labels are not used. Then, for every class whose name the vocabulary has, the latent with the best average precision for it
is taken, where that is clear enough, and its name and first five candidates are compared with the class's name.

The rule and its constants were chosen on `imagenet` and `objects` (UCF-101 actions and flowers, by what they show). Caltech-101 played no
part in the choice; its row tells how the choice does elsewhere. Its `test` rows are seen by no rule.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cbm.backbones.reference import BackboneReference
from cbm.core.codes import Codes
from cbm.dictionaries.base import Dictionary, load_dictionary
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.trainer import train
from cbm.metrics.naming import NamesRight, NamingQuality, best_latents, names_against_truth
from cbm.names.assignment import with_threshold
from cbm.names.rules import name_concepts
from cbm.names.threshold import measured_threshold
from cbm.names.truth import truth_pairs
from cbm.names.vocabulary import Vocabulary
from cbm.registry import RULES

SETS = ("caltech101", "dtd", "imagenet_fewshot", "oxford_flowers", "ucf101")
CLEAR, CLEAR_FEWSHOT = 0.8, 0.5
"""Least average precision of a latent for its class: 0.5 where there are four images a class, and a latent learned from seven."""
OBJECTS = {
    "Balance Beam": "balance beam",
    "Playing Cello": "cello",
    "Playing Flute": "flute",
    "Playing Guitar": "guitar",
    "Playing Piano": "piano",
    "Playing Violin": "violin",
    "Horse Riding": "horse",
    "Skate Boarding": "skateboard",
    "Biking": "bicycle",
    "Surfing": "surfboard",
    "Typing": "computer keyboard",
    "Billiards": "billiard table",
    "Walking With Dog": "dog",
    "Bowling": "bowling ball",
    "Parallel Bars": "parallel bars",
    "Uneven Bars": "parallel bars",
    "Drumming": "drum",
    "Baseball Pitch": "baseball",
    "Basketball": "basketball",
    "Basketball Dunk": "basketball",
    "Volleyball Spiking": "volleyball",
    "Skiing": "ski",
    "Boxing Punching Bag": "punching bag",
    "Haircut": "barbershop",
    "Shaving Beard": "razor",
    "Horse Race": "horse",
    "Rowing": "canoe",
    "Table Tennis Shot": "table tennis racket",
    "Tennis Swing": "tennis racket",
    "Golf Swing": "golf club",
    "Archery": "bow and arrow",
    "Apply Lipstick": "lipstick",
}
"""The thing that an action's pictures show, for UCF-101 classes where the vocabulary has one."""


@dataclass(frozen=True)
class Row:
    """One rule: right names on each set, and figures of all its names."""

    rule: str
    right: dict[str, NamesRight]
    threshold: float
    quality: NamingQuality
    cpu_seconds: float


def main() -> None:
    options = _options()
    folder = options.data / "vitb32"
    images = np.concatenate([_read(file)[0] for name in SETS for file in _training_files(folder / name)])
    dictionary = _dictionary(options, images)
    vocabulary = Vocabulary.from_npz(folder / "vocabulary.npz", BackboneReference.foreign("ViT-B-32", "openai"))
    codes = dictionary.encode(images)
    truth = {
        "imagenet": _pairs(dictionary, folder, "imagenet_fewshot", vocabulary, CLEAR_FEWSHOT, file="fewshot4.npz"),
        "objects": _pairs(dictionary, folder, "ucf101", vocabulary, CLEAR_FEWSHOT, rename=OBJECTS)
        + _pairs(dictionary, folder, "oxford_flowers", vocabulary, CLEAR_FEWSHOT),
        "caltech101": _pairs(dictionary, folder, "caltech101", vocabulary, CLEAR),
    }
    print(f"{len(images)} images, {dictionary.size} latents, {len(vocabulary)} names")
    print(
        f"{'rule':12}"
        + "".join(f"{f'{name} ({len(pairs)})':>24}" for name, pairs in truth.items())
        + f"{'named':>8}{'hubs':>6}{'CPU s':>7}"
    )
    rows = []
    for rule in options.rules:
        rows.append(_measure(rule, dictionary, vocabulary, codes, images, truth))
        _print(rows[-1])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    record = {"images": len(images), "names": len(vocabulary), "latents": dictionary.size, "rules": [_to_json(row) for row in rows]}
    options.out.write_text(json.dumps(record, indent=2) + "\n")


def _measure(
    rule: str, dictionary: Dictionary, vocabulary: Vocabulary, codes: Codes, images: np.ndarray, truth: dict[str, list[tuple[int, int]]]
) -> Row:
    started = time.process_time()
    naming = name_concepts(dictionary.directions, vocabulary.embeddings, rule=rule, codes=codes, embeddings=images)
    seconds = time.process_time() - started
    threshold = measured_threshold(vocabulary.embeddings, rule=rule, codes=codes, embeddings=images)
    right = {name: names_against_truth(naming.candidates, pairs) for name, pairs in truth.items()}
    named = with_threshold(naming, threshold)
    return Row(rule, right, threshold, NamingQuality.of(named.names, named.score, named.named), seconds)


def _print(row: Row) -> None:
    cells = "".join(f"{f'{100 * right.at_1:.1f} / {100 * right.at_5:.1f}':>24}" for right in row.right.values())
    print(f"{row.rule:12}{cells}{100 * row.quality.share_named:7.1f}%{row.quality.hubs:6}{row.cpu_seconds:7.1f}", flush=True)


def _to_json(row: Row) -> dict[str, object]:
    right = {name: {**asdict(counts), "at_1": counts.at_1, "at_5": counts.at_5} for name, counts in row.right.items()}
    return {"rule": row.rule, "right": right, "threshold": row.threshold, **row.quality.to_json(), "cpu_seconds": row.cpu_seconds}


def _dictionary(options: argparse.Namespace, images: np.ndarray) -> Dictionary:
    if options.dictionary and (options.dictionary / "dictionary.json").is_file():
        return load_dictionary(options.dictionary)
    trained = train(images, TrainingConfig(BatchTopK(options.width, options.k), seed=options.seed)).dictionary
    if options.dictionary:
        trained.save(options.dictionary)
    return trained


def _pairs(
    dictionary: Dictionary,
    folder: Path,
    name: str,
    vocabulary: Vocabulary,
    above: float,
    *,
    file: str = "test.npz",
    rename: dict[str, str] | None = None,
) -> list[tuple[int, int]]:
    embeddings, labels = _read(folder / name / file)
    classes = json.loads((folder / name / "classes.json").read_text())
    found = best_latents(dictionary.encode(embeddings), labels, len(classes))
    return truth_pairs(found, [(rename or {}).get(label, "" if rename else label) for label in classes], vocabulary.names, above)


def _training_files(folder: Path) -> Iterable[Path]:
    return sorted([*folder.glob("train.npz"), *folder.glob("fewshot*.npz")])


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["embeddings"].astype(np.float32), arrays["labels"]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/clip-data"))
    parser.add_argument("--dictionary", type=Path, help="folder of a trained dictionary; trained and saved there when it has none")
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rules", nargs="+", choices=RULES.names, default=list(RULES.names))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/naming_rules.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
