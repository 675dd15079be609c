"""Small concept models with random non-zero parameters, and a dense, slow, obvious re-implementation of recipes to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes
from cbm.editing.recipe import (
    AblateConcept,
    AblateConcepts,
    ClassScope,
    GlobalScope,
    ImageScope,
    Recipe,
    ScaleConcept,
    ScaleWeight,
    SetConcept,
    SetWeight,
    ZeroWeight,
    concepts_of,
)
from cbm.heads.base import LinearHead
from cbm.model.concept_model import ConceptModel

CLASSES = ("cat", "dog", "bird", "fish")


@dataclass(frozen=True)
class FakeConcepts:
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class FakeBottleneck(Bottleneck):
    """Thresholded random projection: sparse, deterministic, not linear."""

    matrix: np.ndarray

    @property
    def size(self) -> int:
        return self.matrix.shape[1]

    @property
    def dim(self) -> int:
        return self.matrix.shape[0]

    def tensors(self) -> dict[str, np.ndarray]:
        return {"matrix": self.matrix}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> Self:
        return cls(tensors["matrix"])

    def _encode_chunk(self, embeddings: np.ndarray) -> Codes:
        import scipy.sparse

        responses = embeddings @ self.matrix
        return Codes.from_csr(scipy.sparse.csr_matrix(np.where(responses > 0.5, responses, 0).astype(np.float32)))


def small_model(seed: int = 0, size: int = 12, classes: int = 4, dim: int = 6) -> ConceptModel:
    generator = np.random.default_rng(seed)
    head = LinearHead(
        generator.standard_normal((classes, size)).astype(np.float32), generator.standard_normal(classes).astype(np.float32), "dense"
    )
    bottleneck = FakeBottleneck(generator.standard_normal((dim, size)).astype(np.float32))
    return ConceptModel(bottleneck, head, FakeConcepts([f"concept {index}" for index in range(size)]), CLASSES[:classes])


def random_embeddings(model: ConceptModel, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, model.bottleneck.dim)).astype(np.float32)


def dense_logits(model: ConceptModel, recipe: Recipe, activations: np.ndarray, items: list[str]) -> np.ndarray:
    """Logits by the words of the edit types: one image, one class, one edit at a time."""
    weight = model.head.weight.astype(np.float64).copy()
    seen = np.repeat(activations.astype(np.float64)[:, None, :], len(model.classes), axis=1)  # [images, classes, concepts]
    for edit in recipe.active:
        if isinstance(edit, SetWeight | ScaleWeight | ZeroWeight):
            row = model.classes.index(edit.class_name)
            match edit:
                case SetWeight():
                    weight[row, edit.concept] = edit.value
                case ScaleWeight():
                    weight[row, edit.concept] *= edit.factor
                case ZeroWeight():
                    weight[row, edit.concept] = 0
        elif isinstance(edit, AblateConcept | AblateConcepts | SetConcept | ScaleConcept):
            for image, item in enumerate(items):
                for row, name in enumerate(model.classes):
                    match edit.scope:
                        case GlobalScope():
                            concerned = True
                        case ClassScope(class_name):
                            concerned = class_name == name
                        case ImageScope(scope_item):
                            concerned = scope_item == item
                    for concept in concepts_of(edit) if concerned else ():
                        new = 0.0
                        if isinstance(edit, SetConcept):
                            new = edit.value
                        if isinstance(edit, ScaleConcept):
                            new = edit.factor * (activations[image, concept] if edit.absolute else seen[image, row, concept])
                        seen[image, row, concept] = new
    return np.einsum("ick,ck->ic", seen, weight) + model.head.bias
