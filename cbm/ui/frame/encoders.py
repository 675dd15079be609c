"""The backbone behind a concept model, for pages that encode what a visitor asks about; or, kindly, why it is not available."""

from __future__ import annotations

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, MissingWeightsError
from cbm.study.study import Study
from cbm.ui.frame import cache, resources
from cbm.ui.frame.resources import SharedBackbone

_DEMO = "demo"
_ASK_AGAIN = 300
"""Seconds until weights that were not found are looked for again: without a network the search itself may take a while."""


def why_never(study: Study) -> str | None:
    """Why nothing can be encoded for this model on any machine, found out without loading anything; None where it may be."""
    reference = study.model.backbone
    if reference is None:
        return "This model does not say which backbone encoded its images, so new images and texts cannot be encoded."
    if reference.is_foreign:
        return (
            f"The images were imported as vectors from {reference.architecture}/{reference.pretrained}, without its weights. "
            "To encode new images or texts, encode the images with that backbone on the Data page and train on the result."
        )
    return None


def why_not(study: Study) -> str | None:
    """Why pictures and texts cannot be encoded for this model, in words for its user; None where they can be."""
    reference = study.model.backbone
    never = why_never(study)
    if never is not None or reference is None:
        return never
    return _trouble(reference.architecture, reference.pretrained, reference.fingerprint) or None


def encoder(study: Study) -> SharedBackbone:
    """The backbone that made the study's embeddings; encode under its lock.

    Raises:
        MissingWeightsError: it is not available; the message says why and what to do.
    """
    problem = why_not(study)
    if problem is not None or study.model.backbone is None:
        raise MissingWeightsError(problem or "This model names no backbone.")
    return _load(study.model.backbone.architecture, study.model.backbone.pretrained)


def _load(architecture: str, pretrained: str) -> SharedBackbone:
    return resources.backbone(architecture, None if architecture == _DEMO else pretrained)


@cache.remember("Looking for the backbone's weights …", seconds=_ASK_AGAIN)
def _trouble(architecture: str, pretrained: str, fingerprint: str) -> str:
    """Empty where the very weights can be loaded."""
    try:
        found = _load(architecture, pretrained).backbone.reference
    except CbmError as error:
        return f"The weights of {architecture}/{pretrained} are not available. {error}"
    if not found.matches(BackboneReference(architecture, pretrained, fingerprint)):
        return (
            f"The weights of {architecture}/{pretrained} on this machine are not those that encoded these images. "
            "Encode the images again on the data page, or restore the original weights."
        )
    return ""
