"""Which backbones there are to choose from: every checkpoint that open_clip knows, with what can be said of it before it is fetched.

Architecture, embedding size and image size come from open_clip's configurations; parameters were counted once on PyTorch's meta device
(`python -m cbm.backbones.catalogue` counts again); licences are those that a named source states, and nothing is said where none does.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbm.backbones.architectures import DEMO, architecture_names, find_architecture

COUNTS = Path(__file__).with_name("catalogue.json")
QUICK = "-quickgelu"
_FLOAT_BYTES = 4

# What the first part of a tag says of the training images; the papers behind open_clip's table of results name them so.
_TRAINED_ON = (
    (r"openai", "OpenAI's own pairs (WIT, 400 million)"),
    (r"laion400m", "LAION-400M"),
    (r"laion2b|.*_laion2b", "LAION-2B (English)"),
    (r"frozen_laion5b|laion5b", "LAION-5B"),
    (r"laion_aesthetic", "LAION-Aesthetic"),
    (r"datacomp_?1b|datacomp_xl|datacomp_s34b", "DataComp-1B"),
    (r"datacompdr", "DataCompDR-1B"),
    (r"datacomp_([sml])_", "DataComp, {} scale"),
    (r"commonpool_(s|m|l|xl)_", "CommonPool, {} scale"),
    (r"metaclip_400m", "MetaCLIP-400M"),
    (r"metaclip2_worldwide", "MetaCLIP 2, worldwide"),
    (r"metaclip_fullcc", "MetaCLIP-2.5B"),
    (r"dfndr2b", "DFNDR-2B"),
    (r"dfn2b", "DFN-2B"),
    (r"dfn5b", "DFN-5B"),
    (r"webli", "WebLI"),
    (r"yfcc15m", "YFCC-15M"),
    (r"cc12m", "CC-12M"),
    (r"merged2b", "Merged-2B (LAION-2B and COYO)"),
)
_SCALES = {"s": "small", "m": "medium", "l": "large", "xl": "extra-large"}
_SAMPLES = re.compile(r"_s(\d+)([mb])(?:_|$)")

# Checkpoints whose licence somebody states who should know; prefix of the Hugging Face repository, licence, and who says so.
_STATED = (
    ("laion/", "MIT", "open_clip's maintainers, for the weights that they provide"),
    ("timm/ViT-B-16-SigLIP", "Apache-2.0", "model card"),
    ("timm/ViT-L-16-SigLIP-", "Apache-2.0", "model card"),
)
_NAMES = {"mit": "MIT", "apache-2.0": "Apache-2.0", "cc-by-nc-4.0": "CC BY-NC 4.0", "apple-ascl": "Apple sample code licence"}


@dataclass(frozen=True)
class Offer:
    """One checkpoint that can be asked for by name."""

    architecture: str
    pretrained: str
    """open_clip's tag; empty for the backbone that ships."""
    dim: int
    image_size: int
    """Pixels a side of what the image tower sees; the longer side where it is not square."""
    parameters: int | None
    """Of both towers; None where nobody has counted."""
    trained_on: str
    """The training images; empty where the tag does not say."""
    licence: str
    """Empty where no source states one."""
    licence_source: str
    repository: str
    """The Hugging Face repository, or the URL of the file."""
    quick_gelu: bool
    """Whether it was trained with QuickGELU, which the tag then brings along."""

    @property
    def name(self) -> str:
        return f"{self.architecture} · {self.pretrained}" if self.pretrained else self.architecture

    @property
    def bytes(self) -> int | None:
        """In memory, and of a download in single precision; files in half precision have half of it."""
        return None if self.parameters is None else self.parameters * _FLOAT_BYTES


@functools.cache
def offers() -> tuple[Offer, ...]:
    """Every checkpoint of open_clip by architecture and tag, after the demo's own; imports open_clip.

    Twins called `…-quickgelu` are left out where the plain architecture has the same tag: the tag brings the activation along.
    """
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    pairs = [(str(architecture), str(tag)) for architecture, tag in list_pretrained()]
    plain = set(pairs)
    wanted = [(name, tag) for name, tag in pairs if not (name.endswith(QUICK) and (name.removesuffix(QUICK), tag) in plain)]
    counted = _counts()
    found = [_offer(name, tag, get_pretrained_cfg(name, tag), counted) for name, tag in wanted]
    return (_demo_offer(counted), *sorted(found, key=lambda offer: (offer.architecture.casefold(), offer.pretrained)))


def find_offer(architecture: str, pretrained: str) -> Offer | None:
    """The offer of this name, if open_clip has it; a `…-quickgelu` architecture finds its plain twin."""
    names = (architecture, architecture.removesuffix(QUICK))
    return next((offer for offer in offers() if offer.architecture in names and offer.pretrained == pretrained), None)


def at_hand(architecture: str, pretrained: str | None) -> bool:
    """Whether the weights can be loaded without the network: they ship, are a file, or lie in the cache of downloads."""
    if architecture == DEMO or not pretrained:
        return find_architecture(architecture).weights is not None
    if Path(pretrained).expanduser().is_file():
        return True
    from open_clip.pretrained import get_pretrained_cfg

    return _cached(get_pretrained_cfg(architecture.replace("/", "-"), pretrained))


def quick_gelu_advice(architecture: str, file: str) -> str | None:
    """What to check before a checkpoint file is loaded into an architecture whose QuickGELU twin exists; None where there is none.

    The activation has no weights, so a file that was trained with the other one loads without complaint and embeds wrongly.
    """
    twin = architecture + QUICK
    if architecture.endswith(QUICK) or twin not in architecture_names():
        return None
    name = Path(file).name.lower()
    suspect = next(
        (maker for word, maker in (("openai", "OpenAI"), ("metaclip", "MetaCLIP"), ("dfn", "DFN")) if word in str(file).lower()), ""
    )
    if suspect:
        return (
            f"{name} looks like {suspect}'s weights, which were trained with QuickGELU: choose {twin}. "
            f"With plain {architecture} they load without complaint and give wrong embeddings."
        )
    return (
        f"A file does not say which activation it was trained with. Weights of OpenAI, MetaCLIP and DFN need {twin}; "
        f"plain {architecture} fits LAION's and DataComp's. The wrong one loads without complaint and gives wrong embeddings."
    )


def _offer(architecture: str, tag: str, settings: Mapping[str, Any], counted: Mapping[str, Any]) -> Offer:
    config = find_architecture(architecture).config
    repository = _repository(settings)
    licence, source = _licence(repository, counted.get("licences", {}))
    size = config["vision_cfg"].get("image_size", 224)
    return Offer(
        architecture=architecture,
        pretrained=tag,
        dim=int(config["embed_dim"]),
        image_size=int(max(size)) if isinstance(size, list | tuple) else int(size),
        parameters=counted.get("parameters", {}).get(architecture),
        trained_on=trained_on(tag),
        licence=licence,
        licence_source=source,
        repository=repository or str(settings.get("url", "")),
        quick_gelu=bool(settings.get("quick_gelu")),
    )


def _demo_offer(counted: Mapping[str, Any]) -> Offer:
    found = find_architecture(DEMO)
    return Offer(
        architecture=DEMO,
        pretrained="",
        dim=found.dim,
        image_size=int(found.config["vision_cfg"]["image_size"]),
        parameters=counted.get("parameters", {}).get(DEMO),
        trained_on="drawn scenes of the demo's world",
        licence="that of this project",
        licence_source="LICENSE",
        repository="",
        quick_gelu=False,
    )


def trained_on(tag: str) -> str:
    """The training images, and how many were seen, as far as open_clip's tag says so: `laion2b_s34b_b79k`."""
    said = next(((pattern, words) for pattern, words in _TRAINED_ON if re.match(pattern, tag)), None)
    if said is None:
        return ""
    found = re.match(said[0], tag)
    words = said[1].format(_SCALES.get(found.group(1), "")) if found and "{}" in said[1] else said[1]
    samples = _SAMPLES.search(tag)
    unit = {"m": "million", "b": "billion"}
    return f"{words}, {samples.group(1)} {unit[samples.group(2)]} samples seen" if samples else words


def _repository(settings: Mapping[str, Any]) -> str:
    hub = str(settings.get("hf_hub", ""))
    return hub.rstrip("/") if hub.endswith("/") else hub.rpartition("/")[0]


def _licence(repository: str, from_timm: Mapping[str, str]) -> tuple[str, str]:
    if repository in from_timm:
        return _NAMES.get(from_timm[repository], from_timm[repository]), "timm's configuration of the same weights"
    for prefix, licence, source in _STATED:
        if repository.startswith(prefix) and "SigLIP2" not in repository:
            return licence, source
    return "", ""


def _cached(settings: Mapping[str, Any]) -> bool:
    """Whether the file that open_clip would fetch, or its safetensors twin, was fetched before."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    hub, url = str(settings.get("hf_hub", "")), str(settings.get("url", ""))
    if hub:
        file = "" if hub.endswith("/") else hub.rpartition("/")[2]
        names = (file, f"{Path(file).stem}.safetensors") if file else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
        return any(isinstance(try_to_load_from_cache(_repository(settings), name), str) for name in names)
    return bool(url) and (Path("~/.cache/clip").expanduser() / url.rpartition("/")[2]).is_file()


@functools.cache
def _counts() -> Mapping[str, Any]:
    return dict(json.loads(COUNTS.read_text())) if COUNTS.is_file() else {}


def count_parameters(architecture: str) -> int | None:
    """Parameters of both towers, without allocating them; None where a tower's own configuration would have to be fetched."""
    import torch

    from cbm.backbones.towers import build_model
    from cbm.core.errors import MissingWeightsError

    try:
        with torch.device("meta"):
            model = build_model(find_architecture(architecture), allow_network=False)
    except MissingWeightsError:
        return None
    return sum(parameter.numel() for parameter in model.parameters())


def _licences_in_timm() -> dict[str, str]:
    from timm.models import get_pretrained_cfg, list_pretrained

    stated = {}
    for name in list_pretrained():
        settings = get_pretrained_cfg(name)
        if settings is None or not settings.license:
            continue
        hub = settings.hf_hub_id
        if hub:
            stated[(f"timm/{name}" if hub == "timm/" else hub).rstrip("/")] = settings.license
    return stated


def main() -> None:
    """Count again, for the version of open_clip that is installed, and write `catalogue.json`."""
    from open_clip.pretrained import list_pretrained

    names = sorted({str(architecture) for architecture, _ in list_pretrained()})
    parameters = {name: count for name in (DEMO, *names) if (count := count_parameters(name)) is not None}
    repositories = {offer.repository for offer in offers()}
    licences = {name: licence for name, licence in sorted(_licences_in_timm().items()) if name in repositories}
    COUNTS.write_text(json.dumps({"parameters": parameters, "licences": licences}, indent=1) + "\n")


if __name__ == "__main__":
    main()
