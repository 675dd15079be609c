"""Training that survives a stop: from a checkpoint, and never twice."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import Cancelled
from cbm.core.files import write_json
from cbm.core.run import Run
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.trainer import HistoryPoint, TrainedDictionary, train

_RECORD = "training.json"
_HISTORY = "history.json"


def train_once(embeddings: Float32[np.ndarray, "rows dim"], config: TrainingConfig, run: Run) -> TrainedDictionary:
    """Train from the checkpoint in `run.checkpoints`, if there is one; a training that had ended when the process was stopped is taken up.

    Raises:
        Cancelled: training was stopped; its checkpoint is kept.
    """
    if run.checkpoints is None:
        return _finished(train(embeddings, config, progress=run.progress, cancelled=run.cancelled, device=run.device))
    checkpoints = run.checkpoints
    finished = checkpoints / "trained"
    if (finished / _RECORD).is_file():
        record = json.loads((finished / _RECORD).read_text())
        dictionary = load_dictionary(finished)
        assert isinstance(dictionary, JumpReluDictionary)
        history = tuple(HistoryPoint(**point) for point in record["history"])
        return TrainedDictionary(dictionary, config, history, record["seconds"], record["samples_per_second"], cancelled=False)
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoints / "training.safetensors"
    trained = _finished(train(embeddings, config, checkpoint=checkpoint, progress=run.progress, cancelled=run.cancelled, device=run.device))
    trained.dictionary.save(finished)
    record = {"history": [dataclasses.asdict(point) for point in trained.history]}
    record |= {"seconds": trained.seconds, "samples_per_second": trained.samples_per_second}
    # Written last and in one step: it says that the rest is whole.
    write_json(finished / _RECORD, record)
    return trained


def save_history(history: Sequence[HistoryPoint], folder: Path) -> None:
    """Keep the figures of a training beside its dictionary."""
    (folder / _HISTORY).write_text(json.dumps([dataclasses.asdict(point) for point in history]) + "\n")


def load_history(folder: Path) -> tuple[HistoryPoint, ...]:
    """What `save_history` kept; empty where nothing was, or where it cannot be read."""
    try:
        return tuple(HistoryPoint(**point) for point in json.loads((folder / _HISTORY).read_text()))
    except (OSError, TypeError, ValueError):
        return ()


def _finished(trained: TrainedDictionary) -> TrainedDictionary:
    if trained.cancelled:
        raise Cancelled("Training was stopped; the same command resumes where it stopped.")
    return trained
