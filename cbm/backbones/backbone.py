"""A frozen CLIP dual encoder: images, patches and texts into one embedding space."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from cbm.backbones import towers, weights
from cbm.backbones.architectures import DEMO, find_architecture
from cbm.backbones.reference import BackboneReference
from cbm.core.devices import bfloat16_pays, choose_device
from cbm.core.errors import InvalidInputError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Backbone", "BackboneReference"]

PRECISIONS = ("auto", "float32", "bfloat16")
_log = logging.getLogger(__name__)


class Backbone:
    """An open_clip model with its weights, ready to encode.

    Args:
        architecture: `demo`, an open_clip name such as `ViT-B-32`, or a model configuration (file, or folder that holds config.json).
        pretrained: an open_clip tag; a checkpoint file (.safetensors, or .pt / .pth with tensors only); None for `demo` and for a folder
            that holds its own model.safetensors. Only a tag may use the network, and only when its file is not in the local cache.
        device: `auto`, `cpu`, `cuda`, `mps`.
        precision: `float32` (what `auto` means), or `bfloat16`, which is taken only where a probe shows it faster.

    Raises:
        NotFoundError: no such architecture, tag or file.
        MissingWeightsError: the weights are not here; the message says which file to fetch and how to pass it.
        MismatchError: the checkpoint belongs to another architecture.
        InvalidInputError: the checkpoint is unreadable or unsafe.
    """

    def __init__(self, architecture: str, pretrained: str | None = None, *, device: str = "auto", precision: str = "auto") -> None:
        if precision not in PRECISIONS:
            raise InvalidInputError(f"Unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
        found = find_architecture(architecture)
        path, label, preprocess = weights.find_weights(found, pretrained)
        if preprocess.pop("quick_gelu", False) and "timm_model_name" not in found.config["vision_cfg"]:
            # open_clip only warns here, and a ViT-B-32 that was trained with QuickGELU then embeds wrongly.
            found = replace(found, config={**found.config, "quick_gelu": True})
        self._architecture = found
        self._model: Any = towers.build_model(found, allow_network=pretrained is not None and label == pretrained)
        weights.load_weights(self._model, weights.read_state_dict(path), str(path))
        self._preprocess_config = _preprocess_config(self._model, found.preprocess, preprocess)
        self.architecture = found.name
        self.pretrained = DEMO if found.name == DEMO else label
        self.device = choose_device(device)
        self.precision = "bfloat16" if precision == "bfloat16" and bfloat16_pays(self.device) else "float32"
        if precision == "bfloat16" != self.precision:
            _log.warning("bfloat16 is slower than float32 on %s; using float32", self.device)
        self._channels_last = towers.is_convolutional(self._model.visual)
        self._fingerprint = ""
        if self.device.type != "cpu":
            self._fingerprint = weights.fingerprint(self._model, found, self._preprocess_config)
            self._model = self._model.to(self.device)
        if self._channels_last:
            self._model.visual.to(memory_format=torch.channels_last)

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of a SHA-256 over weights, preprocessing and architecture; computed on first use, then kept."""
        if not self._fingerprint:
            self._fingerprint = weights.fingerprint(self._model, self._architecture, self._preprocess_config)
        return self._fingerprint

    @property
    def store_key(self) -> str:
        """The fingerprint, marked where the precision is not float32: such vectors differ and are kept apart."""
        return self.fingerprint if self.precision == "float32" else f"{self.fingerprint}-{self.precision}"

    @cached_property
    def reference(self) -> BackboneReference:
        """What artefacts remember of this backbone."""
        return BackboneReference(self.architecture, self.pretrained, self.fingerprint)

    @property
    def dim(self) -> int:
        """Width of an embedding."""
        return self._architecture.dim

    @property
    def image_size(self) -> int:
        """Side of the square of pixels that the image tower sees; the longer side where it is not square."""
        size = self._preprocess_config["size"]
        return int(size) if isinstance(size, int) else int(max(size))

    @property
    def resize_mode(self) -> str:
        """How a picture is made square: `shortest` (its middle is cut out), `squash` (it is distorted) or `longest` (it is padded)."""
        return str(self._preprocess_config["resize_mode"])

    @cached_property
    def _resize(self) -> Any:
        """open_clip's transform without its last two steps, the conversion to a float tensor and the normalisation.

        Those run on whole batches instead: as small torch operations in decoding threads each would wake a pool of threads of its own.
        """
        from open_clip.transform import MaybeToTensor, Normalize, PreprocessCfg, image_transform_v2
        from torchvision.transforms import Compose

        *steps, to_tensor, normalise = image_transform_v2(PreprocessCfg(**self._preprocess_config), is_train=False).transforms
        if not (isinstance(to_tensor, MaybeToTensor) and isinstance(normalise, Normalize)):
            raise TypeError("open_clip's image transform no longer ends with MaybeToTensor and Normalize")
        return Compose(steps)

    def resize(self, image: Image) -> UInt8[np.ndarray, "3 height width"]:
        """Scale and crop one RGB picture to what the image tower sees; safe to call from several threads, and free of torch operations."""
        return np.array(self._resize(image)).transpose(2, 0, 1)

    def _normalise(self, pixels: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(self._preprocess_config[name], dtype=torch.float32, device=pixels.device)[:, None, None]
            for name in ("mean", "std")
        )
        return pixels.float().div_(255).sub_(mean).div_(std)

    def preprocess(self, image: Image) -> Tensor:
        """Resize, crop and normalise one RGB picture to [3, height, width] float32."""
        return self._normalise(torch.from_numpy(self.resize(image)))

    @cached_property
    def _tokenizer(self) -> Any:
        return towers.build_tokenizer(self._architecture)

    def encode_images(self, images: Iterable[Image] | Tensor, batch_size: int = 16) -> Float32[np.ndarray, "images d"]:
        """Raw (not normalised) image embeddings.

        Args:
            images: RGB pictures of any size, or a tensor [N, 3, height, width]: preprocessed float32, or uint8 as `resize` gives it, which
                is normalised on the device.
            batch_size: 16 is the fastest on CPUs; take more on an accelerator.
        """
        with self._computing():
            parts = [self._model.encode_image(pixels).float().cpu().numpy() for pixels in self._pixel_batches(images, batch_size)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)

    def encode_patches(self, images: Iterable[Image] | Tensor, batch_size: int = 16) -> Float32[np.ndarray, "images rows columns d"]:
        """Raw embeddings of every patch: tokens of the last block through the final norm and the projection.

        For models that average after the norm (the demo's), the mean over rows and columns is the image's embedding.

        Raises:
            InvalidInputError: the image tower is no vision transformer with separable pooling.
        """
        with self._computing():
            parts = [
                towers.patch_tokens(self._model.visual, pixels, self.architecture).float().cpu().numpy()
                for pixels in self._pixel_batches(images, batch_size)
            ]
        return np.concatenate(parts) if parts else np.zeros((0, 0, 0, self.dim), np.float32)

    def encode_texts(
        self, texts: Sequence[str], templates: Sequence[str] = ("{}",), batch_size: int = 64
    ) -> Float32[np.ndarray, "texts d"]:
        """L2-normalised text embeddings, averaged over prompt templates (Radford et al. 2021, section 3.1.4).

        Args:
            texts: bare words or whole sentences.
            templates: each holds one `{}` for the text, such as `a photo of a {}`; normalised vectors are averaged, then normalised.

        Raises:
            InvalidInputError: a template has no `{}`, or `texts` is one string.
        """
        if isinstance(texts, str):
            raise InvalidInputError("encode_texts takes a list of texts, not one string.")
        bad = [template for template in templates if "{}" not in template]
        if bad or not templates:
            raise InvalidInputError(f"A prompt template must hold {{}} where the text goes: {bad[0] if bad else 'none given'!r}.")
        prompts = (template.replace("{}", text) for text in texts for template in templates)
        parts = []
        with self._computing():
            for batch in _batches(prompts, batch_size):
                vectors = self._model.encode_text(self._tokenizer(batch).to(self.device)).float()
                parts.append(torch.nn.functional.normalize(vectors, dim=-1).cpu())
            if not parts:
                return np.zeros((0, self.dim), np.float32)
            means = torch.cat(parts).unflatten(0, (len(texts), len(templates))).mean(dim=1)
            return torch.nn.functional.normalize(means, dim=-1).numpy()

    def _pixel_batches(self, images: Iterable[Image] | Tensor, batch_size: int) -> Iterator[Tensor]:
        batches: Iterable[Tensor]
        if isinstance(images, Tensor):
            if images.ndim != 4:
                raise InvalidInputError(f"A tensor of images must be [N, 3, height, width], not {tuple(images.shape)}.")
            batches = images.split(batch_size)
        else:
            resized = (np.stack([self.resize(image) for image in batch]) for batch in _batches(images, batch_size))
            batches = (torch.from_numpy(batch) for batch in resized)
        memory = torch.channels_last if self._channels_last else torch.contiguous_format
        for pixels in batches:
            if len(pixels):
                pixels = pixels.to(self.device)
                yield (self._normalise(pixels) if pixels.dtype == torch.uint8 else pixels).contiguous(memory_format=memory)

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        low = torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else contextlib.nullcontext()
        with torch.inference_mode(), low:
            yield

    def __repr__(self) -> str:
        return f"Backbone({self.architecture!r}, {self.pretrained!r}, device={str(self.device)!r}, precision={self.precision!r})"


def _preprocess_config(model: Any, of_architecture: dict[str, Any], of_weights: dict[str, Any]) -> dict[str, Any]:
    """open_clip's defaults, overlaid by what came with the weights, then by the configuration file; the size is the image tower's own."""
    from dataclasses import asdict

    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    config = merge_preprocess_dict(merge_preprocess_dict(PreprocessCfg(), of_weights), of_architecture)
    size = getattr(model.visual, "image_size", None)
    if size is not None:
        config["size"] = size
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(PreprocessCfg(**config)).items()}


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
