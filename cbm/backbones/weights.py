"""Checkpoint files: finding them, reading them without pickle's dangers, and fitting them to a model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from cbm.backbones.architectures import Architecture, architecture_names
from cbm.core.errors import InvalidInputError, MismatchError, MissingWeightsError, NotFoundError

_TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_ARCHIVE_SCALARS = ("input_resolution", "context_length", "vocab_size")
_LISTED_KEYS = 4


def find_weights(architecture: Architecture, pretrained: str | None) -> tuple[Path, str, dict[str, Any]]:
    """The checkpoint file that `pretrained` names, what to call it, and the preprocessing that goes with it.

    The network is used only for an open_clip tag whose file is not in the local cache.

    Raises:
        MissingWeightsError: no weights were named, or they are neither here nor to be had.
        NotFoundError: `pretrained` is neither a tag of this architecture nor a file.
    """
    if pretrained is None:
        beside = architecture.weights
        if beside is None:
            raise MissingWeightsError(
                f"{architecture.name} needs weights: name one of open_clip's tags{_tag_list(architecture.name)}, "
                "or a checkpoint file with --pretrained /path/to/model.safetensors."
            )
        return beside, beside.name, {}
    path = Path(pretrained).expanduser()
    if path.is_file():
        return path, path.name, _preprocess_beside(path) or _preprocess_of_all_tags(architecture.name)
    from open_clip.pretrained import get_pretrained_cfg

    tag = get_pretrained_cfg(architecture.name, pretrained) if architecture.folder is None else {}
    if tag:
        return _fetch(architecture.name, pretrained, tag), pretrained, {k: v for k, v in tag.items() if k not in ("url", "hf_hub")}
    if path.suffix or len(path.parts) > 1:
        raise NotFoundError(f"There is no checkpoint file {path}.")
    raise NotFoundError(
        f"{pretrained!r} is neither a tag of {architecture.name} nor a file. Known tags{_tag_list(architecture.name) or ': none'}."
    )


def _tag_list(name: str) -> str:
    from open_clip.pretrained import list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(name)
    return f": {', '.join(tags)}" if tags else ""


def _preprocess_beside(path: Path) -> dict[str, Any]:
    """The preprocessing in the `open_clip_config.json` that model hubs put beside a checkpoint."""
    file = path.parent / "open_clip_config.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()).get("preprocess_cfg", {}))
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise InvalidInputError(f"{file} beside the checkpoint is not readable ({error}); fix it or remove it.") from error


def _preprocess_of_all_tags(name: str) -> dict[str, Any]:
    """What every published checkpoint of the architecture agrees on, so that a local SigLIP file is not normalised as OpenAI's."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    settings = [get_pretrained_cfg(name, tag) for tag in list_pretrained_tags_by_model(name)]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {key: settings[0][key] for key in keys if settings and all(s.get(key) == settings[0].get(key) is not None for s in settings)}


def _fetch(name: str, tag_name: str, tag: Mapping[str, Any]) -> Path:
    from open_clip.pretrained import download_pretrained

    reachable = _hub_is_reachable()
    try:
        with contextlib.nullcontext() if reachable else offline():
            return Path(download_pretrained(dict(tag)))
    except (OSError, RuntimeError, ValueError) as error:
        hub, url = str(tag.get("hf_hub", "")), str(tag.get("url", ""))
        repository = hub.rstrip("/") if hub.endswith("/") else hub.rpartition("/")[0]
        file = "open_clip_model.safetensors" if hub.endswith("/") else hub.rpartition("/")[2] or url.rpartition("/")[2]
        source = f"{file} of the Hugging Face repository {repository}" if hub else url
        reason = _first_line(error) if reachable else "no network"
        # A file does not say that its model was trained with QuickGELU; the tag does, and so does the architecture of that name.
        quick = f"{name}-quickgelu"
        fitting = quick if tag.get("quick_gelu") and quick in architecture_names() else name
        raise MissingWeightsError(
            f"The weights of {name}/{tag_name} are not on this machine and could not be downloaded ({reason}). Fetch {source} "
            "on a machine with internet access, copy the file to this machine, and name it: "
            f"--backbone {fitting} --pretrained /path/to/{file}. "
            "Without weights, `demo` is the backbone that ships, and vectors computed elsewhere can be imported."
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Lets huggingface_hub use its cache only: no fetching of what nobody named, and no minute of retries without a network."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _hub_is_reachable() -> bool:
    """Whether the hub's name resolves; behind a proxy the proxy resolves it, so that is left to the download."""
    from huggingface_hub import constants

    if urllib.request.getproxies():
        return True
    try:
        socket.getaddrinfo(urllib.parse.urlparse(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file, by name, on the CPU.

    Reads `.safetensors`, and `.pt`, `.pth`, `.bin`, `.ckpt` with `weights_only=True`; unwraps `state_dict` and `module.`.

    Raises:
        InvalidInputError: the file is damaged, of another kind, a TorchScript archive, or holds more than tensors.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InvalidInputError(f"{path} is not a readable safetensors file ({error}); fetch it again.") from error
    if path.suffix not in _TORCH_SUFFIXES:
        raise InvalidInputError(f"{path} is not a checkpoint: its name should end in .safetensors, {', '.join(_TORCH_SUFFIXES)}.")
    if _is_torchscript(path):
        raise InvalidInputError(
            f"{path} is a TorchScript archive (OpenAI's own format). It carries code, and loading it would need torch.jit, so it is "
            "refused. Use the same weights as a plain checkpoint: for OpenAI's models open_clip_model.safetensors of the Hugging Face "
            "repositories timm/vit_base_patch32_clip_224.openai and its siblings."
        )
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InvalidInputError(
            f"{path} cannot be read safely ({_first_line(error)}). It is damaged, or holds Python objects besides tensors; "
            "convert it to safetensors if you trust it."
        ) from error
    return _unwrap(loaded, path)


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())


def _unwrap(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    for key in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InvalidInputError(f"{path} holds no state dictionary (a mapping of names to tensors), not even under {', '.join(_WRAPPERS)}.")
    while all(name.startswith("module.") for name in loaded):
        loaded = {name.removeprefix("module."): tensor for name, tensor in loaded.items()}
    return loaded


def load_weights(model: nn.Module, state: dict[str, torch.Tensor], source: str) -> None:
    """Put `state` into `model`, every tensor, after the renames that open_clip's own loader makes.

    Position embeddings are not interpolated: a checkpoint of another image size or context length is a mismatch.

    Raises:
        MismatchError: tensors are missing, unexpected, or of another shape.
    """
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    expected = model.state_dict()
    state = {name: tensor for name, tensor in state.items() if name not in _ARCHIVE_SCALARS}
    state = convert_state_dict(model, state)
    if "positional_embedding" in state and "positional_embedding" not in expected:
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        if name in state and name in expected and state[name].numel() == expected[name].numel():
            state[name] = state[name].reshape(expected[name].shape)
    if "logit_bias" in expected and "logit_bias" not in state and "logit_scale" in state:
        state["logit_bias"] = torch.zeros_like(state["logit_scale"])
    if "text.transformer.embeddings.position_ids" not in expected:
        state.pop("text.transformer.embeddings.position_ids", None)
    problems = _differences(expected, state)
    if problems:
        raise MismatchError(f"{source} does not fit the architecture: {'; '.join(problems)}. Name the architecture it was trained with.")
    model.load_state_dict(state, strict=True)


def _differences(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> list[str]:
    def listed(names: list[str]) -> str:
        more = f" and {len(names) - _LISTED_KEYS} more" if len(names) > _LISTED_KEYS else ""
        return ", ".join(names[:_LISTED_KEYS]) + more

    missing = [name for name in expected if name not in state]
    unexpected = [name for name in state if name not in expected]
    misshapen = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    problems = []
    if missing:
        problems.append(f"{len(missing)} tensors missing ({listed(missing)})")
    if unexpected:
        problems.append(f"{len(unexpected)} unexpected ({listed(unexpected)})")
    if misshapen:
        problems.append(f"{len(misshapen)} of another shape ({listed(misshapen)})")
    return problems


def fingerprint(model: nn.Module, architecture: Architecture, preprocess: Mapping[str, Any]) -> str:
    """The first 32 hexadecimal digits of a SHA-256 over every tensor (name, dtype, shape, bytes, sorted by name), the preprocessing and the
    architecture."""
    digest = hashlib.sha256(json.dumps([architecture.config, dict(preprocess)], sort_keys=True, default=list).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
