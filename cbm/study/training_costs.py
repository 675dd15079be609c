"""About how long a training takes: from its sizes, and from how fast earlier ones ran on this machine."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.schedule import Schedule
from cbm.registry import DICTIONARIES
from cbm.study.dictionary_runs import DictionaryRun

_SAMPLE_SECONDS = 6e-6
_PRODUCTS_PER_SECOND = 2e10
"""Width × dimension of the encoder, per embedding and second, on two cores; a dictionary's gradients included."""
_STEP_SECONDS = 1e-3
_START_SECONDS = 6.0
"""Until a worker's process has loaded what it needs, and for measuring the baselines."""


@dataclass(frozen=True)
class Cost:
    """An estimate."""

    seconds: float
    measured: int
    """Earlier runs that it rests on; 0 means that it is a guess."""

    @property
    def text(self) -> str:
        """In words: "about 40 s on this machine"."""
        if self.seconds < 90:
            length = f"{max(5, 5 * round(self.seconds / 5))} s"
        elif self.seconds < 5400:
            length = f"{round(self.seconds / 60)} min"
        else:
            length = f"{self.seconds / 3600:.1f} h"
        source = "going by earlier runs" if self.measured else "a guess until a first run has been timed"
        return f"about {length} ({source})"


def training_cost(
    runs: Sequence[DictionaryRun], dims: Mapping[str, int], *, variant: str, width: int, dim: int, images: int, epochs: int | None
) -> Cost:
    """What training one dictionary takes.

    Args:
        dims: dimension of each embedding set, by id.
    """
    if not DICTIONARIES[variant].trained:
        return Cost(_START_SECONDS, 0)
    factors = []
    for run in runs:
        if run.samples_per_second and run.sets and run.sets[0] in dims:
            expected = _seconds_per_sample(run.width, dims[run.sets[0]], run.images)
            factors.append(1 / run.samples_per_second / expected)
    factor = min(10.0, max(0.2, statistics.median(factors))) if factors else 1.0
    samples = (epochs or _passes(variant, images, dim)) * images
    return Cost(_START_SECONDS + factor * samples * _seconds_per_sample(width, dim, images), len(factors))


def _passes(variant: str, images: int, dim: int) -> int:
    """Passes over the images where none are asked for."""
    part = DICTIONARIES[variant]
    config = TrainingConfig() if part.configuration is None else part.configuration(part.make_settings({}, dim), 0)
    return Schedule.of(config, max(1, images), dim).epochs


def _seconds_per_sample(width: int, dim: int, images: int) -> float:
    batch = max(1, images) / Schedule.of(TrainingConfig(), max(1, images), dim).batches
    return _SAMPLE_SECONDS + width * dim / _PRODUCTS_PER_SECOND + _STEP_SECONDS / batch
