"""The one trainer of every sparse autoencoder variant: batches, schedules, checkpoints, figures, and the calibrated result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from cbm.core.devices import choose_device
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.dictionaries.calibration import CALIBRATION_ROWS, calibrate_threshold
from cbm.dictionaries.checkpoint import Checkpoint, read_checkpoint, training_identity, write_checkpoint
from cbm.dictionaries.configs import TrainingConfig
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.objective import ResamplingObjective, Step, StepFigures
from cbm.dictionaries.schedule import Schedule
from cbm.dictionaries.weights import NAMES, Weights, normalise_decoder, remove_radial_gradient

EVALUATION_ROWS = 2048
SMALLEST_CALIBRATION = 512
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class HistoryPoint:
    """Figures after `step` optimiser steps, on rows that are not trained on (unless `calibration_share` is zero and none were given)."""

    step: int
    samples: int
    fvu: float
    l0: float
    """Mean active latents of an embedding under the threshold of an inference, which other rows set where there are rows kept apart."""
    dead: float


@dataclass(frozen=True)
class TrainedDictionary:
    """What training returns, finished or cancelled."""

    dictionary: JumpReluDictionary
    config: TrainingConfig
    history: tuple[HistoryPoint, ...]
    seconds: float
    """Wall time of this call; a resumed training counts only its own share."""
    samples_per_second: float
    cancelled: bool
    """The callback asked to stop: the dictionary is the best one seen until then."""


def train(
    embeddings: Float[np.ndarray, "count dim"],
    config: TrainingConfig | None = None,
    *,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
    validation: Float[np.ndarray, "held_out dim"] | None = None,
    device: str = "cpu",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainedDictionary:
    """Train a sparse autoencoder on `embeddings` and return its JumpReLU form, calibrated to k active latents on average.

    Args:
        embeddings: float rows; read-only memory maps are fine and are not copied whole.
        config: what to train; defaults to a BatchTopK dictionary of width 4096 with k = 32.
        checkpoint: a file that is written now and then and from which a killed or cancelled training continues, bit by bit on a CPU.
        validation: held-out rows in place of the configuration's `calibration_share`. The weights that reconstruct them best are returned,
            and the threshold is calibrated on them.
        device: "cpu", "cuda", "mps" or "auto".
        checkpoint_seconds: least time between two checkpoints.

    Raises:
        InvalidInputError: fewer than two embeddings, or values that are not finite.
        MismatchError: `validation` or the checkpoint does not belong to these embeddings.
    """
    config = config or TrainingConfig()
    started = time.perf_counter()
    training = _Training(_checked(embeddings), config, choose_device(device), _checked(validation, embeddings.shape[1]))
    saved = read_checkpoint(checkpoint, training.identity) if checkpoint else None
    if saved:
        training.restore(saved)
    first_step, last_save, stopped = training.step, time.perf_counter(), False
    with torch.no_grad():
        while training.step < training.schedule.steps and not stopped:
            training.advance()
            if training.step % config.evaluate_every == 0 or training.step == training.schedule.steps:
                point = training.evaluate()
                if progress:
                    figures = {"fvu": point.fvu, "l0": point.l0, "dead": point.dead}
                    progress(Progress(training.step, training.schedule.steps, "Training the dictionary", figures))
            # Asked at every step: on wide dictionaries evaluations are many seconds apart.
            stopped = cancelled is not None and cancelled() and training.step < training.schedule.steps
            if checkpoint and (stopped or time.perf_counter() - last_save >= checkpoint_seconds):
                write_checkpoint(checkpoint, training.state(), training.identity)
                last_save = time.perf_counter()
        dictionary = training.result(prefer_best=stopped or validation is not None)
    seconds = time.perf_counter() - started
    samples = training.schedule.samples_after(training.step) - training.schedule.samples_after(first_step)
    if checkpoint and not stopped:
        checkpoint.unlink(missing_ok=True)
    return TrainedDictionary(dictionary, config, tuple(training.history), seconds, samples / seconds, stopped)


class _Training:
    """All mutable state of one training; `state` and `restore` are inverse."""

    def __init__(self, embeddings: np.ndarray, config: TrainingConfig, device: torch.device, validation: np.ndarray | None) -> None:
        self.config, self.device = config, device
        self.embeddings = embeddings
        count, self.dim = embeddings.shape
        self.rows, held_out = _split(count, config.calibration_share if validation is None else 0.0, config.seed)
        self.schedule = Schedule.of(config, len(self.rows), self.dim)
        # Raw inputs are measured too: their mean and scale tell them from other embeddings, and find values that are not finite.
        mean, scale = _centre_and_scale(embeddings)
        self.identity = training_identity(config.to_json(), mean, scale, count)
        self.mean: Float32[np.ndarray, " dim"]
        self.scale: float
        self.mean, self.scale = (mean, scale) if config.inputs == "centred" else (np.zeros(self.dim, np.float32), 1.0)
        self._mean = torch.from_numpy(self.mean).to(device)

        generator = torch.Generator().manual_seed(config.seed)
        self.objective = config.variant.objective(self.dim, device, config.chunk_rows)
        self.weights = self.objective.initial_weights(
            generator, (lambda count: self._drawn(count, generator)) if config.initial_directions == "data" else None
        )
        for tensor in self.weights.tensors:
            tensor.requires_grad_()
        self.weights.zero_gradients()
        self.optimiser = torch.optim.Adam(self.weights.tensors, lr=config.learning_rate, fused=device.type in ("cpu", "cuda"))
        self.average = self.weights.clone() if config.averaging else None
        self.silence = torch.zeros(config.variant.width, dtype=torch.int64, device=device)
        self.step = 0
        self.history: list[HistoryPoint] = []
        self.best: Weights | None = None
        self.best_fvu = float("inf")

        source = embeddings if validation is None else validation
        candidates = held_out if validation is None else np.arange(len(source))
        self.calibration_rows = source[candidates[_spread(len(candidates), CALIBRATION_ROWS)]]
        setting = measuring = candidates
        if validation is None and len(self.rows) < count and len(candidates) > 1:
            # The rows that set the threshold have k active latents by construction, so that others have to say how many there are.
            setting, measuring = candidates[::2], candidates[1::2]
        self.threshold_rows = self._prepared(source[setting[_spread(len(setting), EVALUATION_ROWS)]])
        self.evaluation_rows = self._prepared(source[measuring[_spread(len(measuring), EVALUATION_ROWS)]])
        self.evaluation_variance = float((self.evaluation_rows - self.evaluation_rows.mean(dim=0)).cpu().double().square().sum())

    def _drawn(self, count: int, generator: torch.Generator) -> Float[torch.Tensor, "rows dim"]:
        return self._prepared(self.embeddings[self.rows[torch.randperm(len(self.rows), generator=generator)[:count]]])

    def _prepared(self, rows: Float[np.ndarray, "rows dim"]) -> Float[torch.Tensor, "rows dim"]:
        # Rows are gathered by NumPy, batch by batch: a memory map stays on disk, and half precision is widened here.
        return (torch.from_numpy(rows).to(self.device, torch.float32) - self._mean) * self.scale

    def advance(self) -> StepFigures:
        """One optimiser step."""
        schedule, config = self.schedule, self.config
        if isinstance(self.objective, ResamplingObjective) and schedule.resamples_before(self.step):
            self._resample(self.objective)
        targets = self._prepared(self.embeddings[self.rows[schedule.batch(self.step)]])
        inputs = targets
        if config.input_noise:
            noise = torch.randn(targets.shape, generator=_generator(config.seed, 2, self.step))
            inputs = targets + config.input_noise * noise.to(self.device)
        self.weights.zero_gradients()
        step = Step(inputs, targets, schedule.k(self.step), self.silence, schedule.dead_after, 1 / self.dim)
        figures = self.objective.accumulate(self.weights, step)
        remove_radial_gradient(self.weights)
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * schedule.learning_rate_factor(self.step)
        self.optimiser.step()
        normalise_decoder(self.weights)
        self.silence.add_(len(targets))[figures.fired] = 0
        if self.average:
            for average, tensor in zip(self.average.tensors, self.weights.tensors, strict=True):
                # The early average would be dominated by the initial weights; a rising decay forgets them.
                average.lerp_(tensor, 1 - min(config.averaging, (1 + self.step) / (10 + self.step)))
        self.step += 1
        return figures

    def _resample(self, objective: ResamplingObjective) -> None:
        generator = _generator(self.config.seed, 3, self.step)
        rows = self.rows[objective.resampling_rows(len(self.rows), generator)]
        moments = [(self.optimiser.state[tensor]["exp_avg"], self.optimiser.state[tensor]["exp_avg_sq"]) for tensor in self.weights.tensors]
        objective.resample(
            self.weights,
            moments,
            (self._prepared(self.embeddings[rows[start : start + 4096]]) for start in range(0, len(rows), 4096)),
            generator,
        )

    def evaluate(self) -> HistoryPoint:
        """Figures of the weights that would be returned now, under a threshold that other rows set: L0 comes out near k, not at k."""
        weights = _unit_decoder(self.average or self.weights)
        threshold = self._threshold(weights, self.threshold_rows)
        error, active = 0.0, 0
        for chunk in self.evaluation_rows.split(self.config.chunk_rows):
            responses = torch.addmm(weights.encoder_bias, chunk - weights.decoder_bias, weights.encoder.T)
            codes = torch.where(responses > threshold, responses, 0.0)
            error += float((torch.addmm(weights.decoder_bias, codes, weights.decoder) - chunk).cpu().double().square().sum())
            active += int((codes > 0).sum())
        fvu = error / max(self.evaluation_variance, 1e-12)
        dead = float((self.silence >= self.schedule.dead_after).float().mean())
        point = HistoryPoint(self.step, self.schedule.samples_after(self.step), fvu, active / len(self.evaluation_rows), dead)
        self.history.append(point)
        if fvu <= self.best_fvu:
            self.best, self.best_fvu = weights.clone(), fvu
        return point

    def _threshold(self, weights: Weights, rows: Float[torch.Tensor, "rows dim"]) -> float:
        k = self.config.variant.k
        return calibrate_threshold(weights, rows, k, chunk_rows=self.config.chunk_rows) if k else 0.0

    def result(self, *, prefer_best: bool) -> JumpReluDictionary:
        weights = self.best if prefer_best and self.best else _unit_decoder(self.average or self.weights)
        threshold = self._threshold(weights, self._prepared(self.calibration_rows))
        encoder, encoder_bias, decoder, decoder_bias = (tensor.detach().cpu().numpy() for tensor in weights.tensors)
        return JumpReluDictionary(
            encoder=np.ascontiguousarray(encoder.T),
            encoder_bias=encoder_bias,
            decoder=decoder,
            decoder_bias=decoder_bias,
            threshold=np.full(len(encoder_bias), threshold, np.float32),
            mean=self.mean,
            scale=self.scale,
        )

    def state(self) -> Checkpoint:
        tensors = {"silence": self.silence}
        for prefix, weights in (("weights", self.weights), ("average", self.average), ("best", self.best)):
            if weights:
                tensors |= {f"{prefix}.{name}": tensor for name, tensor in zip(NAMES, weights.tensors, strict=True)}
        for name, tensor in zip(NAMES, self.weights.tensors, strict=True):
            tensors |= {f"adam.{name}.{key}": value for key, value in self.optimiser.state[tensor].items()}
        tensors |= {f"objective.{name}": tensor for name, tensor in self.objective.state().items()}
        scalars: dict[str, Any] = {
            "step": self.step,
            "best_fvu": self.best_fvu,
            "history": [[point.step, point.samples, point.fvu, point.l0, point.dead] for point in self.history],
            "variant": self.config.variant.name,
        }
        return Checkpoint(tensors, scalars)

    def restore(self, checkpoint: Checkpoint) -> None:
        tensors = {name: tensor.to(self.device) for name, tensor in checkpoint.tensors.items()}
        with torch.no_grad():
            for name, tensor in zip(NAMES, self.weights.tensors, strict=True):
                tensor.copy_(tensors[f"weights.{name}"])
                self.optimiser.state[tensor] = {key: tensors[f"adam.{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        if self.average:
            self.average = Weights(*(tensors[f"average.{name}"] for name in NAMES))
        if "best.encoder" in tensors:
            self.best = Weights(*(tensors[f"best.{name}"] for name in NAMES))
        self.silence = tensors["silence"]
        self.objective.restore({name.removeprefix("objective."): t for name, t in tensors.items() if name.startswith("objective.")})
        self.step, self.best_fvu = int(checkpoint.scalars["step"]), float(checkpoint.scalars["best_fvu"])
        self.history = [HistoryPoint(*point) for point in checkpoint.scalars["history"]]


def _unit_decoder(weights: Weights) -> Weights:
    """The same function with unit decoder rows: each row's length moves to its encoder (an average of unit rows is shorter than one)."""
    lengths = torch.linalg.vector_norm(weights.decoder, dim=1, keepdim=True).clamp_min(1e-12)
    return Weights(
        weights.encoder.detach() * lengths,
        weights.encoder_bias.detach() * lengths[:, 0],
        weights.decoder.detach() / lengths,
        weights.decoder_bias.detach(),
    )


def _centre_and_scale(embeddings: Float[np.ndarray, "count dim"]) -> tuple[Float32[np.ndarray, " dim"], float]:
    """The mean, and the factor that makes the mean squared length of the centred embeddings their dimension; sums in float64."""
    total = np.zeros(embeddings.shape[1])
    for start in range(0, len(embeddings), 8192):
        total += embeddings[start : start + 8192].sum(axis=0, dtype=np.float64)
    mean = (total / len(embeddings)).astype(np.float32)
    squares = 0.0
    for start in range(0, len(embeddings), 8192):
        squares += float(np.square(embeddings[start : start + 8192].astype(np.float64) - mean).sum())
    if not np.isfinite(squares):
        raise InvalidInputError("The embeddings hold values that are not finite; encode or import them again.")
    if squares == 0:
        raise InvalidInputError("All embeddings are the same vector; there is nothing to discover in them.")
    return mean, float(np.sqrt(embeddings.size / squares))


def _checked(embeddings: np.ndarray | None, dim: int | None = None) -> Any:
    if embeddings is None:
        return None
    if embeddings.ndim != 2 or len(embeddings) < 2 or embeddings.dtype.kind != "f":
        raise InvalidInputError(
            f"A dictionary is trained on at least two rows of floats [count, dim]; not {embeddings.dtype} {tuple(embeddings.shape)}."
        )
    if dim is not None and embeddings.shape[1] != dim:
        raise MismatchError(f"Validation rows have {embeddings.shape[1]} dimensions, the training rows {dim}; use one backbone.")
    if dim is not None:
        _centre_and_scale(embeddings)  # raises where a value is not finite, or nothing varies
    return embeddings


def _split(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and, drawn at random, to calibrate on; the same rows for both where the set is tiny or the share zero."""
    wanted = min(max(round(share * count), SMALLEST_CALIBRATION), count // 5, CALIBRATION_ROWS) if share else 0
    if wanted == 0:
        return np.arange(count), np.arange(count)
    order = np.random.default_rng((seed, 4)).permutation(count)
    return np.sort(order[wanted:]), np.sort(order[:wanted])


def _spread(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` row numbers, evenly spread."""
    return np.linspace(0, count - 1, min(count, wanted)).astype(np.int64)


def _generator(*key: int) -> torch.Generator:
    """A generator that depends on `key` only, so that a resumed training needs no generator state."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))
