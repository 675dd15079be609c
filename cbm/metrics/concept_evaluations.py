"""The metrics of single concepts that `evaluate` reports; their formulas are in the modules beside this one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from cbm.core.settings import Range
from cbm.metrics.classification import accuracy, completeness, concept_efficient_accuracy, concepts_used
from cbm.metrics.grounding import concept_existence, global_grounding
from cbm.metrics.intervention import Order, intervention_curve, intervention_order, values_of_truth
from cbm.metrics.leakage import accuracy_with_permuted_names, leakage
from cbm.metrics.monosemanticity import monosemanticity
from cbm.metrics.part import DiscoveredConcepts, Evaluation, MetricPart
from cbm.metrics.probes import TOP, halves, one_latent_probes, purity
from cbm.registry import NoSettings


def _number(value: float) -> float | None:
    """As JSON can hold it: None for what could not be measured."""
    return float(value) if math.isfinite(value) else None


def _accuracy_of(evaluation: Evaluation) -> float:
    return accuracy(evaluation.predicted[evaluation.labelled], evaluation.labels[evaluation.labelled])


def _bias(evaluation: Evaluation) -> np.ndarray:
    return np.zeros(len(evaluation.weight), np.float32) if evaluation.bias is None else evaluation.bias


def _efficiency(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    used, reached = concepts_used(evaluation.weight), _accuracy_of(evaluation)
    figures: dict[str, Any] = {"concepts_used": used, "cea": concept_efficient_accuracy(reached, used, len(evaluation.classes))}
    if evaluation.linear_probe:
        figures["completeness"] = completeness(reached, evaluation.linear_probe)
    return figures


EFFICIENCY = MetricPart(
    "efficiency",
    "Accuracy weighed against the number of different concepts (CEA), and as a share of a linear probe's (completeness).",
    NoSettings,
    label="Accuracy per concept",
    needs="labels",
    applies=lambda evaluation: evaluation.has_labels,
    measure=_efficiency,
    words={
        "concepts_used": "Different concepts with a weight",
        "cea": "Accuracy, weighed against them (CEA)",
        "completeness": "Share of the linear probe's accuracy (completeness)",
    },
)


@dataclass(frozen=True)
class PermutedNamesSettings:
    repetitions: Annotated[int, Range(1)] = 3
    """Random exchanges of concepts to average over."""


def _permuted_names(evaluation: Evaluation, settings: PermutedNamesSettings) -> dict[str, Any]:
    rows = np.flatnonzero(evaluation.labelled)
    found = accuracy_with_permuted_names(
        evaluation.codes[rows], evaluation.weight, _bias(evaluation), evaluation.labels[rows], range(settings.repetitions)
    )
    return {"permuted_names_accuracy": found.mean}


PERMUTED_NAMES = MetricPart(
    "permuted-names",
    "Accuracy when the head takes each concept for another: near chance where the concepts decide.",
    PermutedNamesSettings,
    label="Concepts exchanged",
    needs="labels",
    applies=lambda evaluation: evaluation.has_labels,
    measure=_permuted_names,
    words={"permuted_names_accuracy": "Accuracy with concepts exchanged at random"},
)


def _monosemanticity(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    found = monosemanticity(evaluation.codes, evaluation.embeddings)
    return {
        "monosemanticity_median": _number(found.quantile(0.5)),
        "monosemanticity_p10": _number(found.quantile(0.1)),
        "monosemanticity_p90": _number(found.quantile(0.9)),
        "monosemanticity_random": _number(found.random),
        "monosemanticity_measured": found.measured,
    }


MONOSEMANTICITY = MetricPart(
    "monosemanticity",
    "How alike the images are on which a concept is active, beside pairs of images at random; by the backbone's own embeddings.",
    NoSettings,
    label="Monosemanticity",
    needs="two images",
    applies=lambda evaluation: len(evaluation.codes) > 1,
    measure=_monosemanticity,
    words={
        "monosemanticity_median": "Monosemanticity, median concept",
        "monosemanticity_p10": "Monosemanticity, a tenth of the concepts is below",
        "monosemanticity_random": "Monosemanticity of a concept that is active at random",
    },
)


@dataclass(frozen=True)
class OneLatentProbesSettings:
    above: Annotated[float, Range(0, 1)] = 0.3
    """Average precision above which a class counts as covered by a concept."""
    images: Annotated[int, Range(4)] = 20_000
    """Labelled images to use at most, spread evenly over the set; half of them choose concepts, half measure."""


def _one_latent_probes(evaluation: Evaluation, settings: OneLatentProbesSettings) -> dict[str, Any]:
    rows = np.flatnonzero(evaluation.labelled)
    if len(rows) > settings.images:
        # By class, so that none is left out that has two images among so many.
        by_class = rows[np.argsort(evaluation.labels[rows], kind="stable")]
        rows = by_class[np.linspace(0, len(rows) - 1, settings.images).astype(np.int64)]
    chosen = halves(evaluation.labels[rows])
    fit, rest = rows[chosen], rows[~chosen]
    codes, labels = evaluation.codes, evaluation.labels
    # Where every concept is active everywhere, each probe is fitted to all images, so only the best candidate is.
    candidates = 1 if codes.indices.shape[1] * 4 > codes.size else 4
    found = one_latent_probes(codes[fit], labels[fit], codes[rest], labels[rest], len(evaluation.classes), candidates)
    pure = purity(codes[rows], labels[rows])
    pure = pure[~np.isnan(pure)]
    return {
        "probe_map": found.mean_average_precision,
        "probe_r": found.probe_r,
        "probe_coverage": found.coverage(settings.above),
        f"purity_{TOP}": float(pure.mean()) if len(pure) else None,
        f"purity_{TOP}_measured": len(pure),
    }


def _has_two_classes(evaluation: Evaluation) -> bool:
    counts = np.bincount(evaluation.labels[evaluation.labelled])
    return bool((counts > 0).sum() > 1 and (counts > 1).any())


ONE_LATENT_PROBES = MetricPart(
    "one-latent-probes",
    "How well one concept alone predicts a class (mAP, probe R, coverage), and how pure the labels of its strongest images are.",
    OneLatentProbesSettings,
    label="One concept per class",
    needs="labels of two classes",
    applies=_has_two_classes,
    measure=_one_latent_probes,
    words={
        "probe_map": "Mean average precision of the best concept per class",
        "probe_r": "Cross-entropy that the best concept per class explains (probe R)",
        "probe_coverage": "Classes that a concept covers",
        f"purity_{TOP}": f"Share of the commonest label among a concept's {TOP} strongest images (purity)",
    },
)


@dataclass(frozen=True)
class GroundingSettings:
    top: Annotated[int, Range(1)] = 3
    """Concepts that support a prediction most, whose presence is looked up."""


def _of(evaluation: Evaluation) -> DiscoveredConcepts:
    assert evaluation.discovered is not None, "asked only where the metric applies"
    return evaluation.discovered


def _grounding(evaluation: Evaluation, settings: GroundingSettings) -> dict[str, Any]:
    known = _of(evaluation)
    labels, predicted = evaluation.labels[known.rows], evaluation.predicted[known.rows]
    means = global_grounding(known.activations, known.weight, known.truth, labels, predicted).means
    present = concept_existence(known.activations, known.weight, known.truth, predicted, settings.top)
    return {
        **{f"cgim{number}": _number(value) for number, value in enumerate(means, 1)},
        "cem": _number(present),
        "cem_random": float(known.truth.mean()),
    }


GROUNDING = MetricPart(
    "grounding",
    "Whether weights and contributions agree with the concepts that images of each class have (CGIM), and reasons with the image (CEM).",
    GroundingSettings,
    label="Grounding",
    needs="labels, and known concepts that were discovered",
    applies=lambda evaluation: evaluation.discovered is not None,
    measure=_grounding,
    words={
        "cgim1": "Agreement of weights and known concepts (CGIM1)",
        "cgim2": "Agreement of activations and known concepts (CGIM2)",
        "cgim3": "Agreement of contributions and known concepts (CGIM3)",
        "cem": "Reasons that the image has (CEM)",
        "cem_random": "Reasons that the image has, for concepts at random",
    },
)


def _leakage(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    known = _of(evaluation)
    found = leakage(known.activations, known.truth, evaluation.labels[known.rows])
    return {"leakage_task": found.mean_task, "leakage_between": _number(found.mean_between)}


LEAKAGE = MetricPart(
    "leakage",
    "What activations say of the class (CTL), or of other concepts (ICL), beyond what the presence of their concept says.",
    NoSettings,
    label="Leakage",
    needs="labels of two classes, and known concepts that were discovered",
    applies=lambda evaluation: _has_two_classes(evaluation) and evaluation.discovered is not None,
    measure=_leakage,
    words={"leakage_task": "Leakage about the class (CTL)", "leakage_between": "Leakage about other concepts (ICL)"},
)


def _interventions(evaluation: Evaluation, _: NoSettings) -> dict[str, Any]:
    known = _of(evaluation)
    codes = evaluation.codes[known.rows].to_csr()
    rest = codes @ evaluation.weight.T + _bias(evaluation) - known.activations @ known.weight.T
    corrections = values_of_truth(known.activations, known.truth).astype(np.float32)
    figures: dict[str, Any] = {}
    orders: tuple[Order, ...] = ("random", "importance")
    for kind in orders:
        order = intervention_order(kind, known.activations, known.weight)
        curve = intervention_curve(known.activations, corrections, known.weight, rest, evaluation.labels[known.rows], order)
        figures |= {f"intervention_area_{kind}": curve.area, "intervention_gain": curve.gain}
    return figures


INTERVENTIONS = MetricPart(
    "interventions",
    "What it does for accuracy to correct the known concepts of every image, one after another.",
    NoSettings,
    label="Corrected concepts",
    needs="labels, and known concepts that were discovered",
    applies=lambda evaluation: evaluation.discovered is not None,
    measure=_interventions,
    words={
        "intervention_gain": "Accuracy gained by correcting all known concepts",
        "intervention_area_random": "Mean accuracy while correcting them, in random order",
        "intervention_area_importance": "Mean accuracy while correcting them, most important first",
    },
)
