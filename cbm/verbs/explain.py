"""explain: one image's prediction, and the concepts it comes from."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.errors import InvalidInputError, RejectedImageError
from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.verbs.base import Argument, OnDevice, VerbResult, verb
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from cbm.model.concept_model import ConceptModel
    from cbm.study.opened import OpenedModel


@dataclass(frozen=True)
class Explain(OnDevice):
    model: str
    """Id of a concept model, or the folder of a bundle."""
    item: Annotated[str, Argument()]
    """A picture's file, or an item or row number of --on."""
    _: KW_ONLY
    on: str | None = None
    """Embedding set that holds the item; the model's test set when absent."""
    target: str | None = None
    """Class to explain; the predicted one when absent."""
    top: Annotated[int, Range(0)] = 10
    """Contributions to list."""
    pretrained: str | None = None
    """Checkpoint file of the model's backbone, for a picture's file where the model was made with one."""


@dataclass(frozen=True)
class ContributionLine(VerbResult):
    concept: int
    name: str
    activation: float
    weight: float
    contribution: float
    share: float


@dataclass(frozen=True)
class Explained(VerbResult):
    item: str
    prediction: str
    probability: float
    target: str
    """The class that the logit and the contributions are about."""
    logit: float
    bias: float
    contributions: tuple[ContributionLine, ...]
    rest: float
    """Sum of the contributions that are not listed: bias + contributions + rest = logit."""
    counterfactual: tuple[str, ...] | None
    """The fewest concepts whose ablation changes the prediction; None where none does."""


@verb(Explain)
def explain(settings: Explain, workspace: Workspace, run: Run) -> Explained:
    """The prediction for one image, and the concepts it comes from."""
    from cbm.study.opened import load_model

    opened = load_model(workspace, settings.model)
    embedding, found = _embedding_of(workspace, opened, settings, run.device)
    explanation = opened.model.explain(embedding, found, settings.target)
    counterfactual = opened.model.counterfactual(embedding, found)
    lines = tuple(
        ContributionLine(part.concept, opened.model.labels[part.concept], part.activation, part.weight, part.contribution, part.share)
        for part in explanation.top(settings.top)
    )
    return Explained(
        item=found,
        prediction=explanation.predicted_class,
        probability=float(explanation.probabilities[explanation.predicted]),
        target=explanation.target_class,
        logit=explanation.logit,
        bias=explanation.bias,
        contributions=lines,
        rest=explanation.rest(settings.top),
        counterfactual=tuple(opened.model.labels[concept] for concept in counterfactual.concepts) if counterfactual.possible else None,
    )


def _embedding_of(workspace: Workspace, opened: OpenedModel, settings: Explain, device: str) -> tuple[Float32[np.ndarray, " dim"], str]:
    from cbm.embeddings.sets import load_set
    from cbm.study.opened import require_model_world

    item, on = settings.item, settings.on
    if on is None and (os.path.isfile(item) or item.startswith("scene:")):
        return _encoded(item, opened.model, settings.pretrained, device), item
    images = load_set(workspace, on) if on else opened.test_rows(workspace).source
    require_model_world(images, opened.model)
    row = images.find(item)
    return images.embeddings[row], str(images.items["item"].iloc[row])


def _encoded(picture: str, model: ConceptModel, pretrained: str | None, device: str) -> Float32[np.ndarray, " dim"]:
    from cbm.embeddings.sets import to_space
    from cbm.images.decode import decode
    from cbm.images.pictures import read_bytes
    from cbm.study.opened import backbone_of

    if model.backbone is None:
        raise InvalidInputError("The model does not say which backbone it belongs to; explain an item of an embedding set with --on.")
    backbone = backbone_of(model.backbone, pretrained, device)
    model.backbone.require_match(backbone.reference, "the model and the loaded backbone")
    try:
        image = decode(read_bytes(picture), target_size=backbone.image_size)
    except RejectedImageError as error:
        raise InvalidInputError(f"{picture} cannot be explained: {error.reason}. Choose another picture.") from error
    return to_space(backbone.encode_images([image]), model.space)[0]  # type: ignore[arg-type]
