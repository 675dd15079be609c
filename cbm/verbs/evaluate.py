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
    from cbm.metrics.part import Evaluation
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
    """Figures by name, of every metric in `cbm.registry.METRICS` that applies to these images."""
    from cbm.metrics.part import measure_all

    return measure_all(evaluation_of(model, images))


def evaluation_of(model: ConceptModel, images: EmbeddingSet) -> Evaluation:
    """A model beside images, as metrics see them."""
    import numpy as np

    from cbm.core.codes import Codes
    from cbm.metrics.part import Evaluation
    from cbm.names.names import same_name_key
    from cbm.study.study import Study

    study = Study(model, images)
    class_of = {same_name_key(name): number for number, name in enumerate(model.classes)}
    return Evaluation(
        bottleneck=model.bottleneck,
        embeddings=images.embeddings,
        codes=Codes.from_csr(study.scored.codes),
        weight=np.ascontiguousarray(model.effective_head.weight.T, np.float32),
        names=model.names,
        named=np.asarray(model.concepts.named),
        class_of_name=np.array([class_of.get(same_name_key(name), -1) for name in model.names], np.int64),
        classes=model.classes,
        predicted=study.predicted(),
        labels=study.labels,
        groups=tuple(images.groups),
        group_of=images.group_labels,
        known_concepts=tuple(images.concept_names),
        truth=images.truth,
    )
