"""Building open_clip models from a configuration, and what differs between kinds of image towers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from cbm.backbones.architectures import Architecture
from cbm.backbones.weights import offline
from cbm.core.errors import InvalidInputError, MissingWeightsError


def build_model(architecture: Architecture, *, allow_network: bool) -> nn.Module:
    """An open_clip model of this architecture with random weights, in evaluation mode, float32, on the CPU.

    Raises:
        MissingWeightsError: the text tower's own configuration is not on this machine.
        InvalidInputError: open_clip cannot build what the configuration describes.
    """
    from open_clip import CLIP, CoCa, CustomTextCLIP

    config = deepcopy(architecture.config)
    hugging_face = config["text_cfg"].get("hf_model_name")
    custom_text = bool(config.pop("custom_text", False)) or bool(hugging_face)
    if hugging_face:
        config["text_cfg"]["hf_model_pretrained"] = False
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    model_class: Any = CLIP if not custom_text else CoCa if "multimodal_cfg" in config else CustomTextCLIP
    try:
        # Random initialisation draws from the global generator, which belongs to the caller.
        with torch.random.fork_rng(devices=[]), contextlib.nullcontext() if allow_network or not hugging_face else offline():
            model = model_class(**config)
    except OSError as error:
        raise MissingWeightsError(
            f"{architecture.name} needs the configuration of the text model {hugging_face}, which is not on this machine; "
            f"copy that repository's config.json and tokenizer files into the Hugging Face cache."
        ) from error
    except (TypeError, KeyError, AssertionError, RuntimeError, ValueError) as error:
        raise InvalidInputError(f"open_clip cannot build {architecture.name} from its configuration ({error!r}).") from error
    return model.float().eval().requires_grad_(False)


def build_tokenizer(architecture: Architecture) -> Callable[[list[str]], Tensor]:
    """The tokenizer that belongs to the text tower: texts to token numbers [N, context].

    Raises:
        MissingWeightsError: it is a Hugging Face tokenizer whose files are not here.
    """
    from open_clip import get_tokenizer
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    text = architecture.config["text_cfg"]
    try:
        if architecture.folder is None:
            return get_tokenizer(architecture.name)
        length = text.get("context_length", DEFAULT_CONTEXT_LENGTH)
        options = text.get("tokenizer_kwargs") or {}
        if text.get("hf_tokenizer_name"):
            beside = architecture.folder / "tokenizer.json"
            source = str(architecture.folder) if beside.is_file() else text["hf_tokenizer_name"]
            return HFTokenizer(source, context_length=length, tokenizer_mode=text.get("tokenizer_mode"), **options)
        return SimpleTokenizer(context_length=length, **options)
    except (OSError, ValueError) as error:
        raise MissingWeightsError(
            f"The tokenizer {text.get('hf_tokenizer_name', '')} of {architecture.name} is not on this machine and could not be fetched; "
            "copy its files (tokenizer.json, tokenizer_config.json) into the Hugging Face cache. Images can be embedded without it."
        ) from error


def is_convolutional(visual: Any) -> bool:
    """Whether the image tower spends its time in convolutions, for which channels-last memory is 20 to 25 % faster on CPUs."""
    from open_clip.modified_resnet import ModifiedResNet

    trunk = getattr(visual, "trunk", None)
    return isinstance(visual, ModifiedResNet) or (trunk is not None and not hasattr(trunk, "blocks"))


def patch_tokens(visual: Any, pixels: Tensor, name: str) -> Tensor:
    """Patch tokens [N, rows, columns, d] through the final norm and the projection into the embedding space.

    With average pooling, and the norm before it, their mean is exactly the pooled embedding.

    Raises:
        InvalidInputError: the tower has no patch tokens that can be projected on their own.
    """
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer) and visual.attn_pool is None:
        output = visual.forward_intermediates(
            pixels, indices=1, stop_early=True, normalize_intermediates=True, intermediates_only=True, output_fmt="NLC"
        )
        tokens = output["image_intermediates"][-1]
        projected = tokens if visual.proj is None else tokens @ visual.proj
        rows, columns = visual.grid_size
        return projected.unflatten(1, (rows, columns))
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and getattr(trunk, "global_pool", None) in ("avg", "token") and hasattr(trunk, "num_prefix_tokens"):
        tokens = trunk.forward_features(pixels)[:, trunk.num_prefix_tokens :]
        tokens = visual.head(trunk.head(trunk.fc_norm(tokens)))
        rows, columns = trunk.patch_embed.grid_size
        return tokens.unflatten(1, (rows, columns))
    raise InvalidInputError(
        f"{name} has no patch tokens in the embedding space (its image tower is a {type(visual).__name__} with its own pooling); "
        "heat-maps need a vision transformer with class-token or average pooling, such as ViT-B-32 or ViT-B-16."
    )
