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

    opened = load_model(workspace, settings.model)
    images = load_set(workspace, settings.on)
    require_model_world(images, opened.model)
    return Evaluated(evaluate_model(opened.model, images, opened.linear_probe_on(images.id)))


def evaluate_model(model: ConceptModel, images: EmbeddingSet, linear_probe: float | None = None) -> dict[str, Any]:
    """Figures by name, of every metric in `cbm.registry.METRICS` that applies to these images.

    Args:
        linear_probe: accuracy of a linear probe on these very images, where that was measured.
    """
    from cbm.metrics.part import measure_all
    from cbm.study.evaluation import evaluation_of
    from cbm.study.study import Study

    return measure_all(evaluation_of(Study(model, images, linear_probe=linear_probe)))
