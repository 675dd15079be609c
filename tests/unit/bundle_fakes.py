"""A complete small model with a real dictionary and concept table, random and non-zero everywhere."""

from __future__ import annotations

import numpy as np

from cbm.backbones.reference import BackboneReference
from cbm.core.arrays import unit_rows
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.editing.recipe import AblateConcept, ClassScope, ImageScope, MergeConcepts, Recipe, ScaleConcept, SetConcept, SetWeight
from cbm.heads.base import LinearHead
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ActivationStatistics, ConceptTable

DIM, SIZE = 16, 40
CLASSES = ("cat", "dog | wolf", "ворон")


def full_model(seed: int = 0, space: str = "l2") -> ConceptModel:
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape).astype(np.float32)

    dictionary = JumpReluDictionary(
        normal(DIM, SIZE), 0.1 * normal(SIZE), unit_rows(normal(SIZE, DIM)), 0.1 * normal(DIM), np.abs(normal(SIZE)), 0.1 * normal(DIM), 3.7
    )
    head = LinearHead(normal(3, SIZE), normal(3), "sparse", {"penalty": np.float32(0.25), "solver": "proximal"})
    table = ConceptTable.unnamed(ActivationStatistics.of(dictionary.encode(embeddings(50))))
    table = table.with_names({index: f"concept {index}" for index in range(0, SIZE, 2)})
    reference = BackboneReference("ViT-B-32", "openai", "0123456789abcdef0123456789abcdef")
    method = {"variant": "batchtopk", "seed": 3, "vocabulary_digest": "abc", "metrics": {"accuracy": 0.9, "linear_probe": 0.95}}
    return ConceptModel(dictionary, head, table, CLASSES, Recipe(), reference, space, method)


def embeddings(count: int, seed: int = 5) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, DIM)))


EDITS = Recipe.of(
    AblateConcept(2, "concept 2"),
    ScaleConcept(4, "concept 4", -1.5),
    SetConcept(6, "concept 6", 0.7),
    SetConcept(8, "concept 8", 2.5, ClassScope("ворон")),
    ScaleConcept(8, "concept 8", 0.5),
    SetWeight(10, "concept 10", "cat", 4.0),
    MergeConcepts((12, 14), ("concept 12", "concept 14"), "pair"),
)
WITH_IMAGE_SCOPE = EDITS.append(AblateConcept(16, "concept 16", ImageScope("photo 3.jpg")))
