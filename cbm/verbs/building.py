"""The whole line in one piece of work: images, concepts, names, model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cbm.backbones.architectures import DEMO
from cbm.core.errors import InvalidInputError
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.dictionaries.sizes import sound_size
from cbm.embeddings.sets import EmbeddingSet
from cbm.verbs import data
from cbm.verbs.common import WorkspaceLike, load_set, open_workspace
from cbm.verbs.discovery import discover, name
from cbm.verbs.held_out import training_and_test
from cbm.verbs.modelling import train
from cbm.verbs.results import Built, Embedded, Trained
from cbm.verbs.stages import Stages
from cbm.verbs.words import default_words, find_vocabulary
from cbm.workspace.workspace import Workspace

FEWEST_IMAGES = 20
"""With fewer, what is held out to measure on is a handful, and every figure is noise."""
_ID = re.compile("(embeddings-)?[0-9a-f]{4,16}")
NECS = (5, 10, 15, 20, 25, 30)
_EMBED, _REST = ("encoding images", 4.0), (("discovering concepts", 3.0), ("encoding names", 1.0), ("naming concepts", 0.5))
_TRAIN = ("training the classifier", 2.0)


def build(
    source: str,
    backbone: str = DEMO,
    pretrained: str | None = None,
    *,
    vocabulary: str | None = None,
    width: int | None = None,
    k: int | None = None,
    epochs: int | None = None,
    necs: Sequence[int] = NECS,
    seed: int = 0,
    workspace: WorkspaceLike = None,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Built:
    """From images to a concept model: embed, discover, encode names, name, train; each stage is an artefact or has a checkpoint.

    Stopped or killed, the same request goes on where it was. Images without labels of two classes end with named concepts.

    Args:
        source: what `embed` takes, or the id of an embedding set, whose backbone then counts.
        pretrained: tag or checkpoint; for an embedding set only where its names are to be encoded with a checkpoint file.
        vocabulary: what the verb `vocabulary` takes, or the id of one; `scenes` for the demo backbone and `english` for others when absent.
        width: number of latents; with `k`, by the number of images and the dimension when absent: see `cbm.dictionaries.sizes.sound_size`.
        necs: numbers of effective concepts per class to report; the model holds the first. Those above the width are left out.

    Raises:
        InvalidInputError: too few images, or settings that do not fit.
        MissingWeightsError: the names cannot be encoded, for the backbone's weights are not here.
        Cancelled: stopped; what was finished is kept.
    """
    home = open_workspace(workspace)
    given = _existing_set(home, source)
    stages = Stages([*((_EMBED,) if given is None else ()), *_REST, _TRAIN], progress, cancelled)
    common: dict[str, Any] = {"workspace": home, "device": device}
    embedded: Embedded | None = None
    if given is None:
        with stages.next() as tell:
            embedded = data.embed(source, backbone, pretrained, progress=tell, cancelled=cancelled, **common)
        given = load_set(home, embedded.embeddings)
    _require_enough(given)
    with stages.next() as tell:
        size = sound_size(len(given), given.dim)
        discovered = discover(
            [given.id],
            width=width or size.width,
            k=k or min(size.k, width or size.width),
            epochs=epochs,
            seed=seed,
            progress=tell,
            cancelled=cancelled,
            **common,
        )
    with stages.next() as tell:
        wanted = vocabulary or default_words(given.backbone)
        words = find_vocabulary(home, wanted, given.backbone, pretrained=pretrained, device=device, progress=tell, cancelled=cancelled).id
    with stages.next() as tell:
        named = name(discovered.dictionary, words, workspace=home, progress=tell, cancelled=cancelled)
    notes = list(embedded.notes) if embedded else []
    trained: Trained | None = None
    reason = _not_trainable(given, seed)
    if reason:
        notes.append(reason)
    else:
        with stages.next() as tell:
            reached = [nec for nec in necs if nec <= (width or size.width)] or list(necs)
            trained = train(named.concepts, given.id, necs=reached, seed=seed, progress=tell, cancelled=cancelled, **common)
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
    return load_set(home, source) if _ID.fullmatch(source) and not Path(source).exists() else None


def _require_enough(images: EmbeddingSet) -> None:
    if len(images) < FEWEST_IMAGES:
        raise InvalidInputError(
            f"{len(images)} images are too few to discover concepts in; give at least {FEWEST_IMAGES}, better a few hundred, "
            "and for a classifier at least two classes (one folder each)."
        )


def _not_trainable(images: EmbeddingSet, seed: int) -> str | None:
    """Why no head can be trained and tested on these images, or None."""
    kinds = len(np.unique(images.labels[images.labelled]))
    if kinds < 2:
        found = "carry no labels" if kinds == 0 else "are all of one class"
        return f"The images {found}, so no classifier was trained; sort them into a folder per class, or give a table with a label column."
    try:
        training, _ = training_and_test(images, None, seed)
        enough = len(np.unique(training.labels)) > 1
    except InvalidInputError:
        enough = False
    return None if enough else "Too few images per class to train a classifier and test it, so none was trained; give five or more of each."
