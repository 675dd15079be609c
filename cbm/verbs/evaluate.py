"""evaluate: every metric that applies to a model on an embedding set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cbm.core.run import Run
from cbm.verbs.base import AsJob, Settings, VerbResult, verb
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from cbm.embeddings.sets import EmbeddingSet
    from cbm.model.concept_model import ConceptModel


@dataclass(frozen=True)
class Evaluate(Settings):
    model: str
    """Id of a concept model, or the folder of a bundle."""
    on: str
    """Embedding set to measure on."""


@dataclass(frozen=True)
class Evaluated(VerbResult):
    metrics: Mapping[str, Any]


@verb(Evaluate, job=AsJob("Evaluate a model", "classify", "Open the classifier"))
def evaluate(settings: Evaluate, workspace: Workspace, run: Run) -> Evaluated:
    """Every metric that applies to a model on an embedding set: labels, groups and known concepts decide which."""
    from cbm.embeddings.sets import load_set
    from cbm.study.opened import load_model, require_model_world

    loaded = load_model(workspace, settings.model).model
    images = load_set(workspace, settings.on)
    require_model_world(images, loaded)
    return Evaluated(evaluate_model(loaded, images))


def evaluate_model(model: ConceptModel, images: EmbeddingSet) -> dict[str, Any]:
    """Figures by name: reconstruction always; accuracy where there are labels, worst group where there are groups, discovery and naming
    of known concepts where the set has them."""
    import numpy as np

    from cbm.core.codes import Codes
    from cbm.dictionaries.base import Dictionary
    from cbm.metrics.classification import number_of_contributing_concepts
    from cbm.metrics.reconstruction import measure_reconstruction
    from cbm.metrics.truth import match_known_concepts
    from cbm.study.study import Study

    study = Study(model, images)
    codes = Codes.from_csr(study.scored.codes)
    weight = np.ascontiguousarray(model.effective_head.weight.T, np.float32)
    metrics: dict[str, Any] = {
        "images": len(images),
        "nec": float(np.count_nonzero(weight) / len(weight)),
        "ncc_95": number_of_contributing_concepts(weight, codes),
        "share_named": float(model.concepts.named.mean()),
        "images_with_a_named_concept": _share_with_named_concept(model, study.scored.codes),
    }
    if isinstance(model.bottleneck, Dictionary):
        metrics["reconstruction"] = measure_reconstruction(model.bottleneck, images.embeddings).to_json()
    confusions, groups = study.confusions(), study.groups()
    if confusions.images:
        metrics["accuracy"] = confusions.accuracy
        metrics["per_class"] = dict(zip(model.classes, confusions.per_class.tolist(), strict=True))
        metrics["confusion"] = confusions.matrix.tolist()
    if groups is not None:
        accuracies = {group.name: group.accuracy for group in groups.groups}
        metrics["worst_group"] = groups.worst.accuracy
        metrics["per_group"] = {name: accuracies.get(name, float("nan")) for name in images.groups}
    if images.concept_names:
        match = match_known_concepts(codes, images.truth, images.concept_names)
        names = model.names
        metrics["concepts_discovered"] = match.concepts_discovered
        metrics["known_concepts"] = [
            {"concept": concept, "latent": int(latent), "auc": float(auc), "name": names[latent]}
            for concept, latent, auc in zip(match.concepts, match.latents, match.auc, strict=True)
        ]
    return metrics


def _share_with_named_concept(model: ConceptModel, codes: Any) -> float:
    import numpy as np

    return float((codes @ model.concepts.named.astype(np.float32) != 0).mean())
