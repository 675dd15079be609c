"""The metrics that `evaluate` reports; their formulas are in the modules beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float

from cbm.core.settings import Range
from cbm.metrics.classification import (
    accuracy,
    confusion_matrix,
    number_of_contributing_concepts,
    number_of_effective_concepts,
    per_class_accuracy,
)
from cbm.metrics.naming import best_latents
from cbm.metrics.part import Evaluation, MetricPart
from cbm.metrics.reconstruction import measure_reconstruction
from cbm.registry import NoSettings


def _sizes(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    named = evaluation.named.astype(np.float32)
    return {
        "images": len(evaluation.codes),
        "nec": number_of_effective_concepts(evaluation.weight),
        "ncc_95": number_of_contributing_concepts(evaluation.weight, evaluation.codes),
        "share_named": float(evaluation.named.mean()),
        "images_with_a_named_concept": float((evaluation.codes.to_csr() @ named != 0).mean()),
    }


SIZES = MetricPart(
    "sizes",
    "How many concepts decide (NEC, NCC), and how many of them have a name.",
    NoSettings,
    label="Concepts in use",
    measure=_sizes,
    words={"ncc_95": "Concepts that make up 95 % of a class's score (NCC)"},
)


def _reconstruction(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    return {"reconstruction": measure_reconstruction(evaluation.bottleneck, evaluation.embeddings).to_json()}


def _differ(embeddings: Float[np.ndarray, "rows dim"]) -> bool:
    return any((row != embeddings[0]).any() for row in embeddings)


RECONSTRUCTION = MetricPart(
    "reconstruction",
    "How much of the embeddings the concepts keep (FVU, cosine), how sparsely (L0), and how many are dead.",
    NoSettings,
    label="Reconstruction",
    needs="concepts that decode, and images that differ",
    applies=lambda evaluation: evaluation.bottleneck.abilities.decodes and _differ(evaluation.embeddings),
    measure=_reconstruction,
)


def _accuracy(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    predicted, labels = evaluation.predicted[evaluation.labelled], evaluation.labels[evaluation.labelled]
    classes = len(evaluation.classes)
    recalls = per_class_accuracy(predicted, labels, classes)
    return {
        "accuracy": accuracy(predicted, labels),
        "per_class": dict(zip(evaluation.classes, recalls.tolist(), strict=True)),
        "confusion": confusion_matrix(predicted, labels, classes).tolist(),
    }


ACCURACY = MetricPart(
    "accuracy",
    "Share of right predictions, overall and per class, and which classes are confused.",
    NoSettings,
    label="Accuracy",
    needs="labels",
    applies=lambda evaluation: evaluation.has_labels,
    measure=_accuracy,
)


def _groups(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    groups = evaluation.by_group
    assert groups is not None, "asked only where the metric applies"
    return {"worst_group": groups.worst, "per_group": dict(zip(evaluation.groups, groups.accuracies.tolist(), strict=True))}


GROUPS = MetricPart(
    "groups",
    "Accuracy in each group and in the worst: what a shortcut costs those whom it does not fit.",
    NoSettings,
    label="Worst group",
    needs="labels and groups",
    applies=lambda evaluation: evaluation.by_group is not None,
    measure=_groups,
)


@dataclass(frozen=True)
class ClassNameSettings:
    above: Annotated[float, Range(0, 1)] = 0.8
    """Average precision from which a concept counts as the concept of a class."""


def _class_names(evaluation: Evaluation, settings: ClassNameSettings) -> dict[str, Any]:
    rows = evaluation.labelled
    found = best_latents(evaluation.codes[np.flatnonzero(rows)], evaluation.labels[rows], len(evaluation.classes))
    clear = found.average_precision > settings.above
    right = evaluation.class_of_name[found.latents[clear]] == np.flatnonzero(clear)
    return {"classes_with_a_concept": float(clear.mean()), "class_names_right": float(right.mean()) if clear.any() else None}


CLASS_NAMES = MetricPart(
    "class-names",
    "Share of the classes that have a concept of their own, and of those the share whose concept has the class's name.",
    ClassNameSettings,
    label="Names of class concepts",
    needs="labels",
    applies=lambda evaluation: evaluation.has_labels,
    measure=_class_names,
)


def _known_concepts(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    match = evaluation.known_match
    return {
        "concepts_discovered": match.concepts_discovered,
        "known_concepts": [
            {"concept": concept, "latent": int(latent), "auc": float(auc), "name": evaluation.names[latent]}
            for concept, latent, auc in zip(match.concepts, match.latents, match.auc, strict=True)
        ],
    }


KNOWN_CONCEPTS = MetricPart(
    "known-concepts",
    "Share of the known concepts that one discovered concept separates (AUC above 0.9), and what each is named.",
    NoSettings,
    label="Known concepts",
    needs="known concepts that some of the images have",
    applies=lambda evaluation: bool((evaluation.truth.any(axis=0) & ~evaluation.truth.all(axis=0)).any()),
    measure=_known_concepts,
)
