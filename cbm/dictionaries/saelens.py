"""Dictionaries in the on-disk layout of SAELens 6: `cfg.json` and `sae_weights.safetensors`, which other tools load as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.dictionaries.base import Dictionary
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.published import AffineWeights, Published, read_config, read_safetensors, told_as_damaged

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

    if not (isinstance(dictionary, JumpReluDictionary) and dictionary.abilities.jumprelu):
        raise InvalidInputError(f"A {dictionary.kind} dictionary has no JumpReLU form for SAELens; export a sparse autoencoder instead.")
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
    """The dictionary of `read_saelens`, alone."""
    return read_saelens(folder).dictionary


def read_saelens(folder: Path) -> Published:
    """The dictionary in a SAELens folder, as SAELens 3 to 6 write them.

    Architectures: standard (with ReLU or TopK), topk, jumprelu (`threshold` or `log_threshold`), gated, and batchtopk where the file has
    its threshold. Fine-tuned scaling factors and rescaling by the decoder's norms are folded into the weights.

    Raises:
        NotFoundError: a file is missing.
        InvalidInputError: it does something else to its inputs or activations, which the message names.
        CorruptArtifactError: the files cannot be read or do not fit each other.
    """
    folder = Path(folder)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise NotFoundError(f"{folder} is not a SAELens folder: {name} is missing.")
    with told_as_damaged(folder):
        config = read_config(folder / CONFIG_FILE)
        weights = read_safetensors(folder / WEIGHTS_FILE)
        architecture = _architecture(config)
        unit_inputs = _unit_inputs(config)
        found = _ARCHITECTURES[architecture](config, weights)
        dictionary = found.dictionary(np.sqrt(len(found.decoder_bias)) if unit_inputs else 1.0)
        metadata = config.get("metadata") or {}
        hook = str(metadata.get("hook_name") or config.get("hook_name") or config.get("hook_point") or "")
        return Published(dictionary, "SAELens", hook, str(metadata.get("model_name") or config.get("model_name") or ""), unit_inputs)


def _architecture(config: Mapping[str, Any]) -> str:
    if "architecture" not in config:
        raise InvalidInputError(
            "cfg.json does not say its architecture: it was written by SAELens 2 or older. Load it with a newer SAELens and save it again."
        )
    architecture = str(config["architecture"]).removeprefix("matryoshka_")
    activation = str(config.get("activation_fn_str") or config.get("activation_fn") or "relu")
    if architecture == "standard" and activation == "topk":
        architecture = "topk"
    elif architecture != "topk" and activation != "relu":
        architecture = f"{architecture} with {activation}"
    if architecture not in _ARCHITECTURES:
        raise InvalidInputError(
            f"SAELens architecture {architecture!r} is not supported; {', '.join(_ARCHITECTURES)} are. Export it as jumprelu if it can be."
        )
    reshaped = config.get("reshape_activations") or "none"
    if reshaped != "none":
        raise InvalidInputError(
            f"reshape_activations {reshaped!r} of SAELens is not supported: the dictionary reads the heads of a language model's attention."
        )
    return architecture


def _unit_inputs(config: Mapping[str, Any]) -> bool:
    normalisation = config.get("normalize_activations") or "none"
    if normalisation not in ("none", "constant_norm_rescale"):
        raise InvalidInputError(f"SAELens normalisation {normalisation!r} is not supported; fold it into the weights and export again.")
    return bool(normalisation == "constant_norm_rescale")


_FACTORS = ("scaling_factor", "finetuning_scaling_factor")
_AFFINE = frozenset({"W_enc", "b_enc", "W_dec", "b_dec"})


def _affine(config: Mapping[str, Any], weights: Mapping[str, np.ndarray], *extra: str) -> AffineWeights:
    """What all architectures share.

    Raises:
        InvalidInputError: the file has tensors that nobody here knows the meaning of.
    """
    unknown = sorted(weights.keys() - _AFFINE - {*_FACTORS} - {*extra})
    if unknown:
        raise InvalidInputError(f"The SAELens dictionary has tensors whose use is not known here: {', '.join(unknown)}.")
    factor = next((weights[name] for name in _FACTORS if name in weights), None)
    if factor is not None and not config.get("finetuning_scaling_factor"):
        if not (factor == 1).all():
            raise InvalidInputError(
                "The SAELens dictionary has scaling factors, and cfg.json says that it has none; ask its owner which holds."
            )
        factor = None
    return AffineWeights(
        encoder=weights["W_enc"],
        encoder_bias=weights["b_enc"] if "b_enc" in weights else np.zeros(weights["W_enc"].shape[1], np.float32),
        # SAELens applies the factors when it decodes.
        decoder=weights["W_dec"] if factor is None else weights["W_dec"] * factor[:, None],
        decoder_bias=weights["b_dec"],
        subtracts_bias=bool(config.get("apply_b_dec_to_input", True)),
    )


def _standard(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> AffineWeights:
    return _affine(config, weights)


def _topk(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> AffineWeights:
    k = config["k"] if "k" in config else config["activation_fn_kwargs"]["k"]
    found = replace(_affine(config, weights), k=int(k))
    return found.in_units_of_the_decoder() if config.get("rescale_acts_by_decoder_norm") else found


def _jumprelu(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> AffineWeights:
    threshold = weights["threshold"] if "threshold" in weights else np.exp(weights["log_threshold"].astype(np.float64))
    return replace(_affine(config, weights, "threshold", "log_threshold"), threshold=np.asarray(threshold, np.float32))


def _batchtopk(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> AffineWeights:
    if "topk_threshold" not in weights:
        raise InvalidInputError("The SAELens dictionary is a batchtopk without its threshold; export it for inference, as jumprelu.")
    found = _affine(config, weights, "topk_threshold")
    found = found.in_units_of_the_decoder() if config.get("rescale_acts_by_decoder_norm") else found
    return replace(found, threshold=np.full(len(found.encoder_bias), float(weights["topk_threshold"]), np.float32))


def _gated(config: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> AffineWeights:
    found = _affine(config, weights, "b_gate", "r_mag", "b_mag")
    return found.gated(weights["b_gate"], weights["r_mag"], weights["b_mag"])


_ARCHITECTURES: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, np.ndarray]], AffineWeights]] = {
    "standard": _standard,
    "topk": _topk,
    "jumprelu": _jumprelu,
    "batchtopk": _batchtopk,
    "gated": _gated,
}
