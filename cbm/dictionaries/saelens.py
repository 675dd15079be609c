"""Dictionaries in the on-disk layout of SAELens 6: `cfg.json` and `sae_weights.safetensors`, which other tools load as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.dictionaries.base import Dictionary
from cbm.dictionaries.jumprelu import JumpReluDictionary

CONFIG_FILE = "cfg.json"
WEIGHTS_FILE = "sae_weights.safetensors"
# From this version on SAELens keeps a configuration as it is; older marks make it add settings of language models.
_WRITTEN_FOR = "6.54.12"


def save_saelens(
    dictionary: Dictionary,
    folder: Path,
    *,
    model_name: str = "",
    hook_name: str = "image_embeds",
    normalise_inputs: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write `dictionary` as a SAELens "jumprelu" autoencoder, with mean and scale folded into its weights.

    Args:
        model_name: recorded for the reader, like `hook_name`: what produced the embeddings.
        normalise_inputs: the dictionary was trained on L2-normalised embeddings and SAELens will be given raw ones. It then rescales
            every input to length √dim itself ("constant_norm_rescale") and undoes it after decoding. Otherwise inputs are used as they are.
        metadata: further JSON-ready values for the configuration.

    Raises:
        InvalidInputError: the dictionary is a baseline without JumpReLU form.
    """
    from safetensors.numpy import save_file

    if not isinstance(dictionary, JumpReluDictionary):
        raise InvalidInputError(f"A {dictionary.kind} dictionary has no SAELens form; export a sparse autoencoder instead.")
    scale = dictionary.scale / (np.sqrt(dictionary.dim) if normalise_inputs else 1.0)
    weights = {
        "W_enc": dictionary.encoder.astype(np.float64) * scale,
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder.astype(np.float64) / scale,
        "b_dec": (dictionary.decoder_bias + dictionary.scale * dictionary.mean.astype(np.float64)) / scale,
        # A vector: SAELens refuses a scalar.
        "threshold": dictionary.threshold,
    }
    config = {
        "architecture": "jumprelu",
        "d_in": dictionary.dim,
        "d_sae": dictionary.size,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "constant_norm_rescale" if normalise_inputs else "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": _WRITTEN_FOR, "model_name": model_name, "hook_name": hook_name, **(metadata or {})},
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    paths[0].write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file({name: np.ascontiguousarray(tensor, np.float32) for name, tensor in weights.items()}, str(paths[1]))
    return paths


def load_saelens(folder: Path) -> JumpReluDictionary:
    """The dictionary in a SAELens folder of architecture "jumprelu" or "standard".

    Where the folder rescales its inputs ("constant_norm_rescale"), the result expects L2-normalised embeddings.

    Raises:
        NotFoundError: a file is missing.
        InvalidInputError: an architecture or normalisation that does not encode each embedding on its own as JumpReLU does.
        CorruptArtifactError: the files cannot be read or do not fit each other.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise NotFoundError(f"{folder} is not a SAELens folder: {name} is missing.")
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        weights = {name: tensor.astype(np.float32) for name, tensor in load_file(str(folder / WEIGHTS_FILE)).items()}
        scale = _input_scale(config)
        return _from_weights(config, weights, scale)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, OSError, SafetensorError) as error:
        raise CorruptArtifactError(f"The SAELens dictionary in {folder} cannot be read ({error}); export or download it again.") from error


def _input_scale(config: Mapping[str, Any]) -> float:
    if config["architecture"] not in ("jumprelu", "standard"):
        raise InvalidInputError(
            f"SAELens architecture {config['architecture']!r} is not supported; export the autoencoder as jumprelu (or standard) first."
        )
    normalisation = config.get("normalize_activations", "none")
    if normalisation == "none":
        return 1.0
    if normalisation == "constant_norm_rescale":
        return float(np.sqrt(config["d_in"]))
    raise InvalidInputError(f"SAELens normalisation {normalisation!r} is not supported; fold it into the weights and export again.")


def _from_weights(config: Mapping[str, Any], weights: Mapping[str, np.ndarray], scale: float) -> JumpReluDictionary:
    encoder_bias = weights["b_enc"]
    if not config.get("apply_b_dec_to_input", True):
        encoder_bias = (encoder_bias + weights["b_dec"].astype(np.float64) @ weights["W_enc"]).astype(np.float32)
    return JumpReluDictionary(
        encoder=weights["W_enc"],
        encoder_bias=encoder_bias,
        decoder=weights["W_dec"],
        decoder_bias=weights["b_dec"],
        threshold=np.maximum(weights.get("threshold", np.zeros_like(encoder_bias)), 0),
        mean=np.zeros(weights["W_enc"].shape[0], np.float32),
        scale=scale,
    )
