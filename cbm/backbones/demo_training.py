"""Train the demo backbone, a tiny CLIP for the known-answer world: `python -m cbm.backbones.demo_training`.

Captions are sampled as sets of claims, so a caption is a positive of every image of which all its claims are true: the sigmoid loss of
SigLIP (Zhai et al. 2023, equation 1) with many positives a row. Two terms are added: a softmax over the values of each factor, and a
grounding term that asks the patches which show a concept to be those most similar to its name.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from cbm.backbones.demo_data import CaptionPool, SceneTensors, compound_captions, draw_scenes, thing_of_concept, word_captions
from cbm.images.scenes import CONCEPT_INDEX, CONCEPTS, FACTORS, Scenes
from cbm.images.scenes.factors import EXTRAS
from cbm.paths import ASSETS
from cbm.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from open_clip.model import CLIP

EASY = ("plain", "large")
FOLDER = ASSETS / "demo-backbone"
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 64, "patch_size": 8, "layers": 3, "width": 96, "head_width": 32,
        "mlp_ratio": 3.0, "pool_type": "avg", "final_ln_after_pool": False,
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 96, "heads": 4, "layers": 2},
    "preprocess_cfg": {
        "mean": [0.58, 0.55, 0.55], "std": [0.26, 0.24, 0.24], "interpolation": "bicubic", "resize_mode": "squash",
    },
}  # fmt: skip


@dataclass(frozen=True)
class DemoTrainingConfig:
    """How the shipped weights were made; the defaults reproduce them."""

    scenes: int = 32_000
    captions: int = 40_000
    steps: int = 2000
    batch_size: int = 128
    learning_rate: float = 2e-3
    easy_steps: int = 250
    """Steps on plain large figures only: without them the shapes take many times longer to be told apart at all."""
    warmup_steps: int = 100
    weight_decay: float = 0.05
    word_columns: int = 40
    """Word captions (templates, synonyms, distractors) beside the bare names in each batch."""
    compound_columns: int = 32
    """Captions with several claims in each batch."""
    sigmoid_weight: float = 4.0
    softmax_weight: float = 1.0
    region_weight: float = 1.0
    grounding_weight: float = 0.3
    grounding_temperature: float = 6.0
    seed: int = 0
    evaluate_every: int = 200
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
            "softmax": self.softmax_weight,
            "regions": self.region_weight,
            "grounding": self.grounding_weight,
        }


class _Trainee(nn.Module):
    """The CLIP with a token table of the used tokens only, and the bias of the sigmoid loss."""

    def __init__(self, model: CLIP, used_tokens: Int[np.ndarray, " used"]) -> None:
        super().__init__()
        self.model = model
        self.full_table = model.token_embedding.weight.detach().clone()
        self.used_tokens = torch.from_numpy(used_tokens)
        # Sorted, so that the end-of-text token keeps the largest id, by which open_clip finds it.
        model.token_embedding = nn.Embedding.from_pretrained(self.full_table[self.used_tokens], freeze=False)
        model.visual.output_tokens = True
        self.bias = nn.Parameter(torch.tensor(-2.0))

    def compact(self, tokens: Int[np.ndarray, "captions context"]) -> Int[Tensor, "captions context"]:
        return torch.searchsorted(self.used_tokens, torch.from_numpy(tokens))

    def images(self, pixels: UInt8[Tensor, "batch size size 3"]) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch patches dim"]]:
        """Raw image embeddings and patch embeddings, whose mean they are."""
        pooled, tokens = self.model.visual(normalised(pixels))
        return pooled, tokens @ self.model.visual.proj

    def texts(self, tokens: Int[Tensor, "texts context"]) -> Float[Tensor, "texts dim"]:
        """Raw text embeddings, like open_clip's `encode_text` but without the padding after the longest text (attention is causal)."""
        model = self.model
        ends = tokens.argmax(dim=-1)
        length = int(ends.max()) + 1
        states = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
        states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask[:length, :length]))
        return states[torch.arange(len(tokens)), ends] @ model.text_projection

    def state(self) -> dict[str, Tensor]:
        """The state of an ordinary open_clip model, in half precision."""
        table = self.full_table.clone()
        table[self.used_tokens] = self.model.token_embedding.weight.detach()
        state = {**self.model.state_dict(), "token_embedding.weight": table}
        return {name: tensor.detach().half().contiguous() for name, tensor in state.items() if name != "attn_mask"}


def normalised(pixels: UInt8[Tensor, "batch size size 3"]) -> Float[Tensor, "batch 3 size size"]:
    """Pixels as the backbone wants them."""
    preprocess = MODEL_CONFIG["preprocess_cfg"]
    mean, deviation = torch.tensor(preprocess["mean"]), torch.tensor(preprocess["std"])
    return ((pixels.float() / 255 - mean) / deviation).permute(0, 3, 1, 2).contiguous()


def build_model(seed: int) -> CLIP:
    """The architecture of `MODEL_CONFIG` with random weights."""
    from open_clip.model import CLIP
    from open_clip.pos_embed import get_2d_sincos_pos_embed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIP(**{key: value for key, value in MODEL_CONFIG.items() if key != "preprocess_cfg"})
    # open_clip starts positions as faint noise; waves as strong as the patches teach where things are many times sooner.
    vision = MODEL_CONFIG["vision_cfg"]
    waves = get_2d_sincos_pos_embed(vision["width"], vision["image_size"] // vision["patch_size"], cls_token=True)
    model.visual.positional_embedding.data.copy_(torch.from_numpy(waves))
    return model


def factor_columns() -> dict[str, list[int]]:
    """For each factor, the truth concepts that are its values."""
    return {factor: [CONCEPT_INDEX[value] for value in values] for factor, values in FACTORS.items()}


def _losses(trainee: _Trainee, batch: _Batch, texts: Float[Tensor, "texts dim"], config: DemoTrainingConfig) -> dict[str, Tensor]:
    pooled, patches = trainee.images(batch.pixels)
    scale = trainee.model.logit_scale.exp()
    logits = scale * F.normalize(pooled, dim=-1) @ texts.T + trainee.bias
    names = texts[: len(CONCEPTS)]
    similarity = patches @ names.T / pooled.norm(dim=-1).detach()[:, None, None]
    mass = (similarity * config.grounding_temperature).softmax(dim=1) * batch.cover[:, batch.things].transpose(1, 2)
    shown = (mass.amax(dim=1) > 0) & batch.truth & (batch.things >= 0)
    return {
        "sigmoid": F.binary_cross_entropy_with_logits(logits, batch.positives),
        "softmax": torch.stack([_choice(logits, batch.truth, columns) for columns in factor_columns().values()]).mean(),
        "grounding": -(mass.sum(dim=1).clamp(min=1e-6).log() * shown).sum() / shown.sum(),
        "regions": _region_loss(patches, batch, scale * names),
    }


def _choice(logits: Float[Tensor, "batch texts"], truth: Bool[Tensor, "batch concepts"], columns: list[int]) -> Float[Tensor, ""]:
    """Cross-entropy of choosing the true value of a factor among its names."""
    return F.cross_entropy(logits[:, columns], truth[:, columns].float().argmax(1))


def _region_loss(
    patches: Float[Tensor, "batch patches dim"], batch: _Batch, scaled_names: Float[Tensor, "concepts dim"]
) -> Float[Tensor, ""]:
    """The patches of one thing alone, averaged, must name it: figures their shape, colour and pattern, each extra itself."""
    columns = factor_columns()
    regions = F.normalize(batch.cover @ patches, dim=-1, eps=1e-4)
    logits = regions @ scaled_names.T
    parts = [_choice(logits[:, 0], batch.truth, columns[factor]) for factor in ("shape", "colour", "pattern")]
    parts.append(_choice(logits[:, 1], batch.truth, columns["background"]))
    extras = [CONCEPT_INDEX[name] for name in EXTRAS]
    scene, extra = batch.truth[:, extras].nonzero(as_tuple=True)
    if len(scene):
        parts.append(F.cross_entropy(logits[scene, 2 + extra][:, extras], extra))
    return torch.stack(parts).mean()


@dataclass(frozen=True)
class _Batch:
    pixels: UInt8[Tensor, "batch size size 3"]
    truth: Bool[Tensor, "batch concepts"]
    cover: Float[Tensor, "batch things patches"]
    things: Int[Tensor, " concepts"]
    tokens: tuple[Int[Tensor, "names context"], Int[Tensor, "words context"], Int[Tensor, "compounds context"]]
    positives: Float[Tensor, "batch texts"]

    def split(self, parts: int) -> list[_Batch]:
        """Equal shares of the images, each with all texts."""
        pieces = zip(*(tensor.chunk(parts) for tensor in (self.pixels, self.truth, self.cover, self.positives)), strict=True)
        return [_Batch(pixels, truth, cover, self.things, self.tokens, positives) for pixels, truth, cover, positives in pieces]


@dataclass(frozen=True)
class _Captions:
    """Token ids of the trainee's table, and claims, of the three kinds of captions."""

    tokens: tuple[Tensor, Tensor, Tensor]
    claims: tuple[np.ndarray, np.ndarray, np.ndarray]


def _batches(data: SceneTensors, captions: _Captions, config: DemoTrainingConfig) -> Iterator[_Batch]:
    generator = np.random.default_rng((config.seed, 1))
    things = torch.from_numpy(thing_of_concept())
    easy = np.flatnonzero(data.truth[:, [CONCEPT_INDEX[name] for name in EASY]].all(axis=1))
    order = np.empty(0, dtype=np.int64)
    for step in range(config.steps):
        if step == config.easy_steps:
            order = order[:0]
        if len(order) < config.batch_size:
            order = np.concatenate([order, generator.permutation(easy if step < config.easy_steps else len(data.truth))])
        rows, order = order[: config.batch_size], order[config.batch_size :]
        words = generator.choice(len(captions.claims[1]), config.word_columns, replace=False)
        compounds = generator.choice(len(captions.claims[2]), config.compound_columns, replace=False)
        claims = np.concatenate([captions.claims[0], captions.claims[1][words], captions.claims[2][compounds]])
        truth = data.truth[rows]
        untrue = np.concatenate([~truth, np.ones((len(rows), 1), dtype=bool)], axis=1)
        positives = (untrue.astype(np.float32) @ claims.astype(np.float32).T) == 0
        yield _Batch(
            torch.from_numpy(data.pixels[rows]),
            torch.from_numpy(truth),
            torch.from_numpy(data.cover[rows].astype(np.float32) / 255),
            things,
            (captions.tokens[0], captions.tokens[1][words], captions.tokens[2][compounds]),
            torch.from_numpy(positives.astype(np.float32)),
        )


def _gradients(trainee: _Trainee, batch: _Batch, config: DemoTrainingConfig, pool: ThreadPoolExecutor) -> dict[str, float]:
    """Set every gradient: the images in parts, one thread each, summed in order; then the texts, once.

    Small independent tensors in threads beat torch's own threads by far on a busy machine: those meet at a barrier in every operation.
    """
    texts = F.normalize(torch.cat([trainee.texts(tokens) for tokens in batch.tokens]), dim=-1)
    leaf = texts.detach().requires_grad_()
    shared = [parameter for name, parameter in trainee.named_parameters() if "visual." in name or name in ("bias", "model.logit_scale")]

    def work(part: _Batch) -> tuple[dict[str, float], tuple[Tensor, ...]]:
        losses = _losses(trainee, part, leaf, config)
        total = sum((weight * losses[name] for name, weight in config.weights.items()), torch.zeros(()))
        return {name: float(loss.detach()) for name, loss in losses.items()}, torch.autograd.grad(total, [leaf, *shared])

    results = list(pool.map(work, batch.split(config.parts)))
    text_gradient, *gradients = (torch.stack(parts).mean(dim=0) for parts in zip(*(part for _, part in results), strict=True))
    trainee.zero_grad(set_to_none=True)
    texts.backward(text_gradient)
    for parameter, gradient in zip(shared, gradients, strict=True):
        parameter.grad = gradient
    return {name: sum(losses[name] for losses, _ in results) / len(results) for name in config.weights}


def _optimiser(trainee: _Trainee, config: DemoTrainingConfig) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
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
    trainee = _Trainee(build_model(config.seed), used)
    captions = _collect(trainee, pools)
    optimiser, schedule = _optimiser(trainee, config)
    history: list[dict[str, float]] = []
    torch.set_num_threads(1)
    start = time.perf_counter()
    pool = ThreadPoolExecutor(config.parts)
    for step, batch in enumerate(_batches(data, captions, config), start=1):
        losses = _gradients(trainee, batch, config, pool)
        nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            trainee.model.logit_scale.clamp_(max=math.log(100))
        if step % config.evaluate_every == 0 or step == config.steps:
            with torch.inference_mode():
                texts = trainee.texts(captions.tokens[0])
                images = torch.cat([trainee.images(part)[0] for part in torch.from_numpy(held_out.pixels).split(200)])
            figures = losses | zero_shot(images.numpy(), texts.numpy(), held_out.truth)
            history.append({"step": step, "seconds": round(time.perf_counter() - start, 1)} | {k: round(v, 4) for k, v in figures.items()})
            if progress is not None:
                progress(Progress(step, config.steps, "training the demo backbone", figures))
    return trainee.state(), history


def _collect(trainee: _Trainee, pools: tuple[CaptionPool, ...]) -> _Captions:
    bare, words, compounds = pools
    return _Captions(
        (trainee.compact(bare.tokens), trainee.compact(words.tokens), trainee.compact(compounds.tokens)),
        (bare.claims, words.claims, compounds.claims),
    )


def zero_shot(
    images: Float[np.ndarray, "scenes dim"], names: Float[np.ndarray, "concepts dim"], truth: Bool[np.ndarray, "scenes concepts"]
) -> dict[str, float]:
    """Share of scenes whose value of each factor is the most similar name among the factor's; mean AUC of the extras' names.

    `names` are the embeddings of the bare names, in the order of `CONCEPTS`; nothing need be normalised.
    """
    from sklearn.metrics import roc_auc_score

    similarity = (images / np.linalg.norm(images, axis=1, keepdims=True)) @ (names / np.linalg.norm(names, axis=1, keepdims=True)).T
    figures = {
        factor: float((similarity[:, columns].argmax(1) == truth[:, columns].argmax(1)).mean())
        for factor, columns in factor_columns().items()
    }
    extras = [index for index, concept in enumerate(CONCEPTS) if concept.factor == "extra" and 0 < truth[:, index].sum() < len(truth)]
    figures["extras_auc"] = float(np.mean([roc_auc_score(truth[:, index], similarity[:, index]) for index in extras]))
    return figures


def load_backbone(folder: Path = FOLDER) -> CLIP:
    """The shipped model, ready to encode in single precision."""
    from open_clip.model import CLIP
    from safetensors.torch import load_file

    configuration = json.loads((folder / "config.json").read_text())
    configuration.pop("preprocess_cfg")
    model = CLIP(**configuration)
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    return model.eval()


def evaluate(model: CLIP, scenes: Scenes, drawn_size: int = 224) -> dict[str, float]:
    """`zero_shot` of a model on scenes drawn at another size than it was trained at most often, by way of open_clip's own preprocessing."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    preprocess = image_transform_v2(PreprocessCfg(size=64, **MODEL_CONFIG["preprocess_cfg"]), is_train=False)
    with torch.inference_mode():
        batches = torch.stack([preprocess(scene.draw(drawn_size)) for scene in scenes]).split(100)
        images = torch.cat([model.encode_image(batch) for batch in batches])
        names = model.encode_text(torch.from_numpy(word_captions(model.context_length)[0].tokens))
    return zero_shot(images.numpy(), names.numpy(), scenes.truth_matrix)


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

    state, history = train(config, report)
    write_backbone(folder, state, history, config)


if __name__ == "__main__":
    main()
