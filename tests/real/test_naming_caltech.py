"""Names on real CLIP embeddings: latents of Caltech-101 classes have the classes' names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cbm.backbones.reference import BackboneReference
from cbm.core.codes import Codes
from cbm.dictionaries.batchtopk import BatchTopK
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.trainer import train
from cbm.metrics.naming import NamesRight, best_latents, names_against_truth
from cbm.names.assignment import assign_unique
from cbm.names.rules import Naming, name_concepts
from cbm.names.threshold import measured_threshold
from cbm.names.truth import truth_pairs
from cbm.names.vocabulary import Vocabulary


@dataclass(frozen=True)
class World:
    """A small dictionary, learned quickly, and what is known about its latents."""

    images: np.ndarray
    codes: Codes
    directions: np.ndarray
    vocabulary: Vocabulary
    truth: list[tuple[int, int]]

    def name(self, rule: str) -> Naming:
        return name_concepts(self.directions, self.vocabulary.embeddings, rule=rule, codes=self.codes, embeddings=self.images)

    def right(self, rule: str) -> NamesRight:
        return names_against_truth(self.name(rule).candidates, self.truth)


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["embeddings"].astype(np.float32), arrays["labels"]


@pytest.fixture(scope="module")
def world(clip_data: Path) -> World:
    folder = clip_data / "vitb32"
    files = [folder / "caltech101" / "train.npz", folder / "caltech101" / "fewshot16.npz", folder / "imagenet_fewshot" / "fewshot2.npz"]
    images = np.concatenate([read(file)[0] for file in files])
    dictionary = train(images, TrainingConfig(BatchTopK(width=1024, k=24), samples=80_000, seed=0)).dictionary
    vocabulary = Vocabulary.from_npz(folder / "vocabulary.npz", BackboneReference.foreign("ViT-B-32", "openai"))
    test, labels = read(folder / "caltech101" / "test.npz")
    classes = json.loads((folder / "caltech101" / "classes.json").read_text())
    found = best_latents(dictionary.encode(test), labels, len(classes))
    truth = truth_pairs(found, classes, vocabulary.names, above=0.8)
    return World(images, dictionary.encode(images), dictionary.directions, vocabulary, truth)


def test_the_default_rule_finds_the_classes_names_where_the_plain_cosine_does_not(world: World) -> None:
    assert len(world.truth) >= 20
    cosine, centred, combined = (world.right(rule) for rule in ("cosine", "centred", "combined"))
    assert combined.at_1 >= 0.7
    assert combined.at_5 >= 0.9
    assert combined.at_1 >= centred.at_1 >= cosine.at_1
    assert combined.at_1 >= cosine.at_1 + 0.2


def test_right_names_pass_the_measured_threshold(world: World) -> None:
    threshold = measured_threshold(world.vocabulary.embeddings, codes=world.codes, embeddings=world.images)
    naming = world.name("combined")
    right = [latent for latent, name in world.truth if naming.names[latent] == name]
    assert np.mean(naming.score[right] >= threshold) >= 0.95
    assert np.mean(naming.score >= threshold) <= 0.95


def test_unique_names_keep_most_latents_named(world: World) -> None:
    naming = world.name("combined")
    assert assign_unique(naming).named.sum() >= 0.4 * len(naming)
