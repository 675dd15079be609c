"""Which architectures exist and how wide their vectors are, read from configuration files without importing torch or open_clip."""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbm.core.errors import InvalidInputError, MissingWeightsError, NotFoundError
from cbm.core.paths import ASSETS

DEMO = "demo"
DEMO_FOLDER = ASSETS / "demo-backbone"
_REQUIRED = ("embed_dim", "vision_cfg", "text_cfg")
_WEIGHTS_BESIDE_CONFIG = ("model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


@dataclass(frozen=True)
class Architecture:
    """An open_clip model configuration and where it came from."""

    name: str
    config: dict[str, Any]
    """`embed_dim`, `vision_cfg`, `text_cfg` and whatever else open_clip's model classes take."""
    preprocess: dict[str, Any]
    """The `preprocess_cfg` that lay in the configuration file; empty for open_clip's own architectures."""
    folder: Path | None
    """Where the configuration file lies; None for open_clip's own architectures."""

    @property
    def dim(self) -> int:
        return int(self.config["embed_dim"])

    @property
    def weights(self) -> Path | None:
        """The checkpoint beside the configuration file, if there is one."""
        if self.folder is None:
            return None
        return next((self.folder / name for name in _WEIGHTS_BESIDE_CONFIG if (self.folder / name).is_file()), None)


@functools.cache
def _open_clip_configs() -> dict[str, Path]:
    specification = importlib.util.find_spec("open_clip")
    if specification is None or specification.origin is None:
        return {}
    folder = Path(specification.origin).parent / "model_configs"
    return {file.stem: file for file in sorted(folder.glob("*.json"))}


def architecture_names() -> tuple[str, ...]:
    """Every architecture that open_clip knows, and `demo`."""
    return (DEMO, *_open_clip_configs())


def find_architecture(name: str) -> Architecture:
    """The architecture called `name`.

    Args:
        name: `demo`, an open_clip name (`ViT-B-32`, also written `ViT-B/32`), a configuration file, or the folder of one
            (`config.json` or `open_clip_config.json`).

    Raises:
        NotFoundError: there is no such architecture; the message lists close matches.
        InvalidInputError: the configuration file is not an open_clip model configuration.
    """
    if name == DEMO:
        if not (DEMO_FOLDER / "config.json").is_file():
            raise MissingWeightsError(
                f"The demo backbone is missing from {DEMO_FOLDER}; reinstall the project, "
                "or train it with `python -m cbm.backbones.demo_training`."
            )
        return _from_file(DEMO, DEMO_FOLDER / "config.json")
    path = Path(name).expanduser()
    if path.is_dir():
        for file in (path / "config.json", path / "open_clip_config.json"):
            if file.is_file():
                return _from_file(path.resolve().name, file)
        raise NotFoundError(f"The folder {path} holds neither config.json nor open_clip_config.json; give the model's configuration file.")
    if path.suffix == ".json":
        if not path.is_file():
            raise NotFoundError(f"There is no configuration file {path}.")
        return _from_file(path.stem, path)
    configs = _open_clip_configs()
    cleaned = name.replace("/", "-")
    if cleaned not in configs:
        lowered = {known.lower(): known for known in architecture_names()}
        close = [lowered[match] for match in difflib.get_close_matches(cleaned.lower(), lowered, n=5, cutoff=0.5)]
        hint = f"Did you mean {', '.join(close)}?" if close else "Examples: ViT-B-32, ViT-L-14, RN50, ViT-B-16-SigLIP, demo."
        raise NotFoundError(f"Unknown architecture {name!r}. {hint} A path to a configuration file works too.")
    return Architecture(cleaned, json.loads(configs[cleaned].read_text()), {}, None)


def _from_file(name: str, file: Path) -> Architecture:
    try:
        record = json.loads(file.read_text())
        config = dict(record.get("model_cfg", record))
        preprocess = dict(record.get("preprocess_cfg", {}))
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise InvalidInputError(f"{file} is not a readable model configuration ({error}).") from error
    missing = [key for key in _REQUIRED if key not in config]
    if missing:
        raise InvalidInputError(f"{file} is not an open_clip model configuration: {', '.join(missing)} missing.")
    config.pop("preprocess_cfg", None)
    return Architecture(name, config, preprocess, file.parent)
