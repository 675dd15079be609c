"""The vocabulary that a verb was asked to name with: one that exists, or one that has to be encoded first."""

from __future__ import annotations

from pathlib import Path

from cbm.backbones.architectures import DEMO
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import MissingWeightsError
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.names.names import SHIPPED
from cbm.verbs import data
from cbm.workspace.workspace import Artifact, Workspace

SOURCE_SUFFIXES = (".txt", ".npz")


def default_words(reference: BackboneReference) -> str:
    """The list that suits a backbone: the demo's was taught the words of its scenes, all others English."""
    return "scenes" if reference.architecture == DEMO else "english"


def is_source(vocabulary: str) -> bool:
    """Whether names have to be read and perhaps encoded; else it is the id of a vocabulary."""
    return vocabulary in SHIPPED or Path(vocabulary).suffix.lower() in SOURCE_SUFFIXES


def find_vocabulary(
    home: Workspace,
    vocabulary: str,
    reference: BackboneReference,
    *,
    pretrained: str | None = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Artifact:
    """The vocabulary called `vocabulary`, encoded with the backbone `reference` where it is a list of names.

    Args:
        pretrained: tag or checkpoint file to load in place of what the reference remembers.

    Raises:
        MissingWeightsError: names cannot be encoded, for the backbone's weights are not here.
        NotFoundError: there is no such list, file or artefact.
    """
    if not is_source(vocabulary):
        return home.get(vocabulary, "vocabulary")
    encoded = Path(vocabulary).suffix.lower() == ".npz"
    demo = reference.architecture == DEMO
    if reference.is_foreign and not (encoded or demo or pretrained):
        # Whoever brings vectors asked for no weights, and loading the stated tag might download them.
        raise MissingWeightsError(
            f"The images came as vectors of {reference.architecture}/{reference.pretrained}, without the weights that encode names. "
            "Give a vocabulary whose text embeddings exist, as .npz (embeddings, names), or ask for the weights by that tag."
        )
    tag = None if demo else reference.pretrained if encoded or pretrained is None else pretrained
    made = data.vocabulary(
        vocabulary, reference.architecture, tag, workspace=home, device=device, progress=progress, cancelled=cancelled
    ).vocabulary
    return home.get(made, "vocabulary")
