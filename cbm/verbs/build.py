"""build: the pipeline in one piece of work, from images to a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.wording import counted
from cbm.dictionaries.sizes import sound_size
from cbm.verbs.base import AsJob, Hosted, OnDevice, Option, Seeded, VerbResult, verb
from cbm.verbs.discover import Discover, Discovered, discover
from cbm.verbs.embed import Embed, Embedded, embed
from cbm.verbs.name import Name, Named, name
from cbm.verbs.train import NECS, Train, Trained, train
from cbm.verbs.train import figures as trained_figures
from cbm.verbs.vocabulary import default_vocabulary, find_vocabulary
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from cbm.embeddings.sets import EmbeddingSet

FEWEST_IMAGES = 20
"""With fewer, what is held out to measure on is a handful, and every figure is noise."""
_ID = re.compile("(embeddings-)?[0-9a-f]{4,16}")
_EMBED, _REST = ("encoding images", 4.0), (("discovering concepts", 3.0), ("encoding names", 1.0), ("naming concepts", 0.5))
_TRAIN = ("training the classifier", 2.0)


@dataclass(frozen=True)
class Build(OnDevice, Seeded):
    source: str
    """Folder, table, archive, scenes:classes?count=1000, or the id of an embedding set, whose backbone then counts."""
    backbone: str = "demo"
    """demo, an open_clip architecture such as ViT-B-32, or a model configuration."""
    pretrained: str | None = None
    """open_clip tag, or a checkpoint file (.safetensors, .pt); for an embedding set only where its names are to be encoded with one."""
    _: KW_ONLY
    vocabulary: str | None = None
    """english, attributes, scenes, a .txt, an .npz, or an id; by the backbone when absent."""
    width: Annotated[int | None, Hosted(16_384)] = None
    """Number of latents; by the number of images when absent."""
    k: Annotated[int | None, Hosted(512)] = None
    """Active latents per image; by the dimension when absent."""
    epochs: Annotated[int | None, Hosted(2000)] = None
    """Passes over the embeddings; chosen by their number when absent."""
    necs: Annotated[Sequence[int], Option("nec"), Hosted(1000)] = NECS
    """Numbers of effective concepts per class to report; the model holds the first. Those above the width are left out."""


@dataclass(frozen=True)
class Built(VerbResult):
    """From images to a model; what was not made is None, and `notes` say why."""

    embeddings: str
    dictionary: str
    vocabulary: str
    concepts: str
    model: str | None
    """None where the images carry no labels of two classes."""
    images: int
    classes: int
    rejected: int
    discovered: Discovered
    named: Named
    trained: Trained | None
    notes: tuple[str, ...] = ()


def _figures(result: Mapping[str, Any]) -> str:
    trained = result["trained"]
    figures = trained_figures(trained) if trained else f"{counted(result['named']['named'], 'concept')} named, no classes to distinguish"
    return f"{counted(result['images'], 'image')}, {figures}"


@verb(Build, job=AsJob("Build a classifier", "start", "Open the classifier", _figures))
def build(settings: Build, workspace: Workspace, run: Run) -> Built:
    """The whole pipeline at once: embed, discover, name, train; interrupted, the same command resumes where it stopped.

    Each stage is an artefact or has a checkpoint. Images without labels of two classes end with named concepts.

    Raises:
        InvalidInputError: too few images, or settings that do not fit.
        MissingWeightsError: the names cannot be encoded, for the backbone's weights are not here.
        Cancelled: stopped; what was finished is kept.
    """
    from cbm.embeddings.sets import load_set

    given = _existing_set(workspace, settings.source)
    stages = run.stages([*((_EMBED,) if given is None else ()), *_REST, _TRAIN])
    embedded: Embedded | None = None
    if given is None:
        with stages.next() as stage:
            embedded = embed.function(Embed(settings.source, settings.backbone, settings.pretrained), workspace, stage)
        given = load_set(workspace, embedded.embeddings)
    _require_enough(given)
    with stages.next() as stage:
        size = sound_size(len(given), given.dim)
        width = settings.width or size.width
        k = settings.k or min(size.k, width)
        discovered = discover.function(Discover([given.id], width=width, k=k, epochs=settings.epochs), workspace, stage)
    with stages.next() as stage:
        wanted = settings.vocabulary or default_vocabulary(given.backbone)
        words = find_vocabulary(workspace, wanted, given.backbone, settings.pretrained, stage).id
    with stages.next() as stage:
        named = name.function(Name(discovered.dictionary, words), workspace, stage)
    notes = list(embedded.notes) if embedded else []
    trained: Trained | None = None
    reason = _not_trainable(given, run.seed)
    if reason:
        notes.append(reason)
    else:
        with stages.next() as stage:
            reached = [nec for nec in settings.necs if nec <= width] or list(settings.necs)
            trained = train.function(Train(named.concepts, given.id, necs=reached), workspace, stage)
    return Built(
        embeddings=given.id,
        dictionary=discovered.dictionary,
        vocabulary=words,
        concepts=named.concepts,
        model=trained.model if trained else None,
        images=len(given),
        classes=len(given.classes),
        rejected=embedded.rejected if embedded else 0,
        discovered=discovered,
        named=named,
        trained=trained,
        notes=tuple(notes),
    )


def _existing_set(home: Workspace, source: str) -> EmbeddingSet | None:
    """The embedding set that `source` names by its id, if it does."""
    from cbm.embeddings.sets import load_set

    return load_set(home, source) if _ID.fullmatch(source) and not Path(source).exists() else None


def _require_enough(images: EmbeddingSet) -> None:
    if len(images) < FEWEST_IMAGES:
        raise InvalidInputError(
            f"{len(images)} images are too few to discover concepts in; give at least {FEWEST_IMAGES}, better a few hundred, "
            "and for a classifier at least two classes (one folder each)."
        )


def _not_trainable(images: EmbeddingSet, seed: int) -> str | None:
    """Why no head can be trained and tested on these images, or None."""
    import numpy as np

    from cbm.study.held_out import training_and_test

    kinds = len(np.unique(images.labels[images.labelled]))
    if kinds < 2:
        found = "carry no labels" if kinds == 0 else "all have the same class"
        return f"The images {found}, so no classifier was trained; sort them into a folder per class, or give a table with a label column."
    try:
        training, _ = training_and_test(images, None, seed)
        enough = len(np.unique(training.labels)) > 1
    except InvalidInputError:
        enough = False
    return None if enough else "Too few images per class to train a classifier and test it, so none was trained; give five or more of each."
