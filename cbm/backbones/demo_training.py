"""Train the demo backbone, a tiny CLIP for the known-answer world: `python -m cbm.backbones.demo_training`.

Captions are sampled as sets of claims, so a caption is a positive of every image of which all its claims are true: the sigmoid loss of
SigLIP (Zhai et al. 2023, equation 1) with many positives a row. Further terms ask for what a yardstick needs: names that are far apart
(spread), the values of each factor and each extra told by name (softmax, presence), patches that name what they show (regions, grounding).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cbm.backbones.demo_data import CaptionPool, SceneTensors, compound_captions, draw_scenes, thing_of_concept, word_captions
from cbm.backbones.demo_losses import Batch, measure_losses
from cbm.backbones.demo_model import FOLDER, MODEL_CONFIG, Trainee, build_model, zero_shot
from cbm.core.progress import Progress, ProgressCallback
from cbm.images.scenes import Scenes

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class DemoTrainingConfig:
    """How the shipped weights were made; the defaults reproduce them."""

    scenes: int = 32_000
    captions: int = 40_000
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 60
    weight_decay: float = 0.05
    word_columns: int = 40
    """Word captions (templates, synonyms, distractors) beside the bare names in each batch."""
    compound_columns: int = 32
    """Captions with several claims in each batch."""
    sigmoid_weight: float = 4.0
    spread_weight: float = 8.0
    """On the squared cosines between names: left alone they crowd into fewer dimensions, which a sparse dictionary cannot take apart."""
    largest_scale: float = 16.0
    """Cap on the logit scale; a larger one lets values that lie close together count as told apart."""
    presence_weight: float = 2.0
    softmax_weight: float = 1.0
    region_weight: float = 1.0
    grounding_weight: float = 0.3
    grounding_temperature: float = 6.0
    seed: int = 0
    evaluate_every: int = 100
    evaluation_scenes: int = 1000
    parts: int = 2
    """Parts of a batch, one thread each; other numbers sum in another order, hence give other bytes."""
    workers: int = 2
    """Processes that draw the scenes."""

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each loss."""
        return {
            "sigmoid": self.sigmoid_weight,
            "spread": self.spread_weight,
            "presence": self.presence_weight,
            "softmax": self.softmax_weight,
            "regions": self.region_weight,
            "grounding": self.grounding_weight,
        }


@dataclass(frozen=True)
class _Captions:
    """Token ids of the trainee's table, and claims, of the three kinds of captions."""

    tokens: tuple[Tensor, Tensor, Tensor]
    claims: tuple[np.ndarray, np.ndarray, np.ndarray]


def _batches(data: SceneTensors, captions: _Captions, config: DemoTrainingConfig) -> Iterator[Batch]:
    generator = np.random.default_rng((config.seed, 1))
    things = torch.from_numpy(thing_of_concept())
    order = np.empty(0, dtype=np.int64)
    for _ in range(config.steps):
        if len(order) < config.batch_size:
            order = np.concatenate([order, generator.permutation(len(data.truth))])
        rows, order = order[: config.batch_size], order[config.batch_size :]
        words = generator.choice(len(captions.claims[1]), config.word_columns, replace=False)
        compounds = generator.choice(len(captions.claims[2]), config.compound_columns, replace=False)
        claims = np.concatenate([captions.claims[0], captions.claims[1][words], captions.claims[2][compounds]])
        truth = data.truth[rows]
        untrue = np.concatenate([~truth, np.ones((len(rows), 1), dtype=bool)], axis=1)
        positives = (untrue.astype(np.float32) @ claims.astype(np.float32).T) == 0
        yield Batch(
            torch.from_numpy(data.pixels[rows]),
            torch.from_numpy(truth),
            torch.from_numpy(data.cover[rows].astype(np.float32) / 255),
            things,
            (captions.tokens[0], captions.tokens[1][words], captions.tokens[2][compounds]),
            torch.from_numpy(positives.astype(np.float32)),
        )


def _gradients(trainee: Trainee, batch: Batch, config: DemoTrainingConfig, pool: ThreadPoolExecutor) -> dict[str, float]:
    """Set every gradient: the images in parts, one thread each, summed in order; then the texts, once.

    Small independent tensors in threads beat torch's own threads by far on a busy machine: those meet at a barrier in every operation.
    """
    texts = F.normalize(torch.cat([trainee.texts(tokens) for tokens in batch.tokens]), dim=-1)
    leaf = texts.detach().requires_grad_()
    shared = [parameter for name, parameter in trainee.named_parameters() if "visual." in name or name in ("bias", "model.logit_scale")]

    def work(part: Batch) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        losses = measure_losses(trainee, part, leaf, config.grounding_temperature)
        total = sum((weight * losses[name] for name, weight in config.weights.items()), torch.zeros(()))
        return {name: float(loss.detach()) for name, loss in losses.items()}, torch.autograd.grad(total, [leaf, *shared])

    results = list(pool.map(work, batch.split(config.parts)))
    text_gradient, *gradients = (torch.stack(parts).mean(dim=0) for parts in zip(*(part for _, part in results), strict=True))
    trainee.zero_grad(set_to_none=True)
    texts.backward(text_gradient)
    for parameter, gradient in zip(shared, gradients, strict=True):
        parameter.grad = gradient
    return {name: sum(losses[name] for losses, _ in results) / len(results) for name in config.weights}


def _optimiser(trainee: Trainee, config: DemoTrainingConfig) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    decayed = [p for name, p in trainee.named_parameters() if p.ndim >= 2 and "embedding" not in name]
    others = [p for name, p in trainee.named_parameters() if p.ndim < 2 or "embedding" in name]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)

    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * done))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def train(config: DemoTrainingConfig, progress: ProgressCallback | None = None) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train from nothing; the state of an open_clip model in half precision, and the figures of every evaluation."""
    vision, context = MODEL_CONFIG["vision_cfg"], MODEL_CONFIG["text_cfg"]["context_length"]
    grid = vision["image_size"] // vision["patch_size"]
    training = Scenes("free", config.scenes, config.seed, "train")
    data = draw_scenes(training, vision["image_size"], grid, config.workers)
    held_out = draw_scenes(Scenes("free", config.evaluation_scenes, config.seed, "validation"), vision["image_size"], grid, config.workers)
    pools = (*word_captions(context), compound_captions(training, config.captions, config.seed, context))
    used = np.unique(np.concatenate([pool.tokens.reshape(-1) for pool in pools]))
    trainee = Trainee(build_model(config.seed), used)
    captions = _collect(trainee, pools)
    optimiser, schedule = _optimiser(trainee, config)
    history: list[dict[str, float]] = []
    start = time.perf_counter()
    pool = ThreadPoolExecutor(config.parts)
    for step, batch in enumerate(_batches(data, captions, config), start=1):
        losses = _gradients(trainee, batch, config, pool)
        nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            trainee.model.logit_scale.clamp_(max=math.log(config.largest_scale))
        if step % config.evaluate_every == 0 or step == config.steps:
            with torch.inference_mode():
                texts = trainee.texts(captions.tokens[0])
                images = torch.cat([trainee.images(part)[0] for part in torch.from_numpy(held_out.pixels).split(200)])
            figures = losses | zero_shot(images.numpy(), texts.numpy(), held_out.truth)
            history.append({"step": step, "seconds": round(time.perf_counter() - start, 1)} | {k: round(v, 4) for k, v in figures.items()})
            if progress is not None:
                progress(Progress(step, config.steps, "training the demo backbone", figures))
    return trainee.state(), history


def _collect(trainee: Trainee, pools: tuple[CaptionPool, ...]) -> _Captions:
    bare, words, compounds = pools
    return _Captions(
        (trainee.compact(bare.tokens), trainee.compact(words.tokens), trainee.compact(compounds.tokens)),
        (bare.claims, words.claims, compounds.claims),
    )


def write_backbone(folder: Path, state: dict[str, Tensor], history: list[dict[str, float]], config: DemoTrainingConfig) -> None:
    """Write config.json, model.safetensors and training.json."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(MODEL_CONFIG, indent=2) + "\n")
    log = {"config": asdict(config), "torch": torch.__version__, "threads": torch.get_num_threads(), "history": history}
    (folder / "training.json").write_text(json.dumps(log, indent=1) + "\n")


def main() -> None:
    """Train with the defaults, or fewer steps, into a folder."""
    parser = argparse.ArgumentParser(description="Train the demo backbone on the known-answer world.")
    parser.add_argument("--output", type=Path, default=FOLDER)
    for name, default in asdict(DemoTrainingConfig()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = vars(parser.parse_args())
    folder = options.pop("output")
    config = DemoTrainingConfig(**options)

    def report(progress: Progress) -> None:
        print(progress.done, " ".join(f"{name} {value:.3f}" for name, value in progress.figures.items()), flush=True)

    torch.set_num_threads(1)
    state, history = train(config, report)
    write_backbone(folder, state, history, config)


if __name__ == "__main__":
    main()
