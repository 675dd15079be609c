"""The demo backbone as an open_clip model: its configuration, its form while it is trained, how it is loaded and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from cbm.backbones.demo_data import word_captions
from cbm.core.arrays import unit_rows
from cbm.core.paths import ASSETS
from cbm.images.scenes import CONCEPT_INDEX, CONCEPTS, FACTORS, Scenes

if TYPE_CHECKING:
    from open_clip.model import CLIP

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


class Trainee(nn.Module):
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


def zero_shot(
    images: Float[np.ndarray, "scenes dim"], names: Float[np.ndarray, "concepts dim"], truth: Bool[np.ndarray, "scenes concepts"]
) -> dict[str, float]:
    """Share of scenes whose value of each factor is the most similar name among the factor's; mean AUC of the extras' names.

    `names` are the embeddings of the bare names, in the order of `CONCEPTS`; nothing need be normalised.
    """
    from sklearn.metrics import roc_auc_score

    similarity = unit_rows(images) @ unit_rows(names).T
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
