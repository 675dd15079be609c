"""vocabulary: candidate names with their text embeddings, and how other verbs find the one they are to name with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbm.backbones.architectures import DEMO
from cbm.core.errors import MissingWeightsError
from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.names.names import SHIPPED
from cbm.verbs.base import AsJob, OnDevice, VerbResult, verb
from cbm.workspace.artifacts import VocabularyArtifact
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from cbm.backbones.reference import BackboneReference

SOURCE_SUFFIXES = (".txt", ".npz")


@dataclass(frozen=True)
class MakeVocabulary(OnDevice):
    source: str | Path
    """english, attributes, scenes, a .txt of names, or an .npz (embeddings, names)."""
    backbone: str = "demo"
    """demo, an open_clip architecture such as ViT-B-32, or a model configuration."""
    pretrained: str | None = None
    """open_clip tag, or a checkpoint file (.safetensors, .pt)."""


@dataclass(frozen=True)
class VocabularyMade(VerbResult):
    vocabulary: str
    count: int


def _figures(result: Mapping[str, Any]) -> str:
    return counted(result["count"], "name")


@verb(MakeVocabulary, job=AsJob("Make a vocabulary", "discover", "Name concepts with it", _figures))
def vocabulary(settings: MakeVocabulary, workspace: Workspace, run: Run) -> VocabularyMade:
    """Make the candidate names with their text embeddings."""
    from cbm.backbones.reference import BackboneReference
    from cbm.names.vocabulary import build_vocabulary, import_vocabulary

    source, backbone = settings.source, settings.backbone
    if Path(source).suffix == ".npz":
        # Vectors that exist need no weights here; what the user says of their origin decides what they may be joined with.
        artifact = import_vocabulary(workspace, Path(source), BackboneReference.foreign(backbone, settings.pretrained or backbone))
    else:
        from cbm.backbones.backbone import Backbone

        encoder = Backbone(backbone, settings.pretrained, device=run.device)
        artifact = build_vocabulary(workspace, source, encoder, progress=run.progress, cancelled=run.cancelled)
    return VocabularyMade(artifact.id, artifact.figures.count or 0)


def default_vocabulary(reference: BackboneReference) -> str:
    """The list that suits a backbone: the demo's was taught the words of its scenes, all others English."""
    return "scenes" if reference.architecture == DEMO else "english"


def is_source(vocabulary: str) -> bool:
    """Whether names have to be read and perhaps encoded; else it is the id of a vocabulary."""
    return vocabulary in SHIPPED or Path(vocabulary).suffix.lower() in SOURCE_SUFFIXES


def find_vocabulary(workspace: Workspace, name: str, reference: BackboneReference, pretrained: str | None, run: Run) -> VocabularyArtifact:
    """The vocabulary called `name`, encoded with the backbone `reference` where it is a list of names.

    Args:
        pretrained: tag or checkpoint file to load in place of what the reference remembers.

    Raises:
        MissingWeightsError: names cannot be encoded, for the backbone's weights are not here.
        NotFoundError: there is no such list, file or artefact.
    """
    if not is_source(name):
        return workspace.get(name, VocabularyArtifact)
    encoded = Path(name).suffix.lower() == ".npz"
    demo = reference.architecture == DEMO
    if reference.is_foreign and not (encoded or demo or pretrained):
        # Whoever brings vectors asked for no weights, and loading the stated tag might download them.
        raise MissingWeightsError(
            f"The images were imported as vectors from {reference.architecture}/{reference.pretrained}, without weights to encode names. "
            "Give a vocabulary whose text embeddings exist, as .npz (embeddings, names), or ask for the weights by that tag."
        )
    tag = None if demo else reference.pretrained if encoded or pretrained is None else pretrained
    made = vocabulary.function(MakeVocabulary(name, reference.architecture, tag), workspace, run)
    return workspace.get(made.vocabulary, VocabularyArtifact)
