"""The training of a dictionary as a verb needs it: from a checkpoint, and never twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import Cancelled
from cbm.core.files import write_json
from cbm.core.progress import CancelCheck, ProgressCallback
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.trainer import HistoryPoint, TrainedDictionary, train

_RECORD = "training.json"


def train_once(
    embeddings: Float32[np.ndarray, "rows dim"],
    config: TrainingConfig,
    checkpoints: Path,
    *,
    device: str,
    progress: ProgressCallback | None,
    cancelled: CancelCheck | None,
) -> TrainedDictionary:
    """Train from the checkpoint in `checkpoints`, if there is one; a training that had ended when the process was stopped is taken up.

    Raises:
        Cancelled: training was stopped; its checkpoint is kept.
    """
    finished = checkpoints / "trained"
    if (finished / _RECORD).is_file():
        record = json.loads((finished / _RECORD).read_text())
        dictionary = load_dictionary(finished)
        assert isinstance(dictionary, JumpReluDictionary)
        history = tuple(HistoryPoint(**point) for point in record["history"])
        return TrainedDictionary(dictionary, config, history, record["seconds"], record["samples_per_second"], cancelled=False)
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoints / "training.safetensors"
    trained = train(embeddings, config, checkpoint=checkpoint, progress=progress, cancelled=cancelled, device=device)
    if trained.cancelled:
        raise Cancelled("Training was stopped; the same command goes on from where it was.")
    trained.dictionary.save(finished)
    record = {"history": [dataclasses.asdict(point) for point in trained.history]}
    record |= {"seconds": trained.seconds, "samples_per_second": trained.samples_per_second}
    # Written last and in one step: it says that the rest is whole.
    write_json(finished / _RECORD, record)
    return trained
