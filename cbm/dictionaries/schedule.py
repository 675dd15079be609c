"""What depends on the step number alone: batches, learning rate, k. Nothing here has state, so resuming needs none."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from cbm.dictionaries.configs import TrainingConfig

_SMALLEST_BATCH, _LARGEST_BATCH, _BATCHES_PER_EPOCH = 256, 4096, 16
_LONGEST_SILENCE = 400_000
_MOST_EPOCHS = 8000
"""Where none are asked for: each pass over less than 50 images is a step of its own, and more of them take minutes for nothing."""


@dataclass(frozen=True)
class Schedule:
    """The plan of one training over `count` embeddings."""

    config: TrainingConfig
    count: int
    dim: int
    epochs: int
    batches: int
    """Optimiser steps per epoch; every embedding is in exactly one of them, and their sizes differ by at most one."""

    @classmethod
    def of(cls, config: TrainingConfig, count: int, dim: int) -> Schedule:
        batch_size = config.batch_size or min(_LARGEST_BATCH, max(_SMALLEST_BATCH, count // _BATCHES_PER_EPOCH))
        epochs = config.epochs or min(_MOST_EPOCHS, max(1, math.ceil(config.samples / count)))
        return cls(config, count, dim, epochs, max(1, round(count / batch_size)))

    @property
    def steps(self) -> int:
        return self.epochs * self.batches

    @property
    def dead_after(self) -> int:
        return self.config.dead_after or min(self.count, _LONGEST_SILENCE)

    def samples_after(self, step: int) -> int:
        """Embeddings seen in the first `step` steps."""
        epochs, rest = divmod(step, self.batches)
        return epochs * self.count + self.count * rest // self.batches

    def batch(self, step: int) -> Int[torch.Tensor, " batch"]:
        """Row numbers of a step's batch: a slice of its epoch's permutation."""
        epoch, index = divmod(step, self.batches)
        order = _permutation(self.config.seed, epoch, self.count)
        return order[self.count * index // self.batches : self.count * (index + 1) // self.batches]

    def learning_rate_factor(self, step: int) -> float:
        """Linear rise, constant, linear fall."""
        rise, fall = self.config.warm_up * self.steps, self.config.decay * self.steps
        return min(1.0, (step + 1) / rise if rise >= 1 else 1.0, (self.steps - step) / fall if fall >= 1 else 1.0)

    def k(self, step: int) -> int:
        """Active latents per embedding at this step: falling linearly from its start to k, then k. Zero where the variant has no k."""
        k = self.config.variant.selected
        if k == 0:
            return 0
        start = max(k, round(min(self.config.annealing_start * k, self.dim, self.config.variant.width)))
        length = self.config.annealing * self.steps
        return k + round((start - k) * (1 - step / length)) if step < length else k

    def resamples_before(self, step: int) -> bool:
        """Whether dead latents are resampled before this step: every `resample_every` epochs, while as many are left."""
        every = self.config.variant.resamples_every
        if not every or step == 0 or step % (self.batches * every):
            return False
        # The last stretch is left in peace: 200 epochs at every tenth are resampled after 10, 20, … 180, as DN-CBM does.
        return step // self.batches + every < self.epochs


@functools.lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Int[torch.Tensor, " count"]:
    key = int(np.random.SeedSequence((seed, 1, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return torch.randperm(count, generator=torch.Generator().manual_seed(key))
