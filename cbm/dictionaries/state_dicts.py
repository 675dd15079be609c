"""Sparse autoencoders as the state dicts of the libraries that trained them.

Nothing in a file is executed: only tensors and plain values are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cbm.core.errors import InvalidInputError
from cbm.dictionaries.published import AffineWeights, Published, read_config, read_safetensors, told_as_damaged

Tensors = Mapping[str, np.ndarray]


def read_dictionary_learning(folder: Path) -> Published:
    """`ae.pt` and `config.json` of dictionary_learning (Marks, Karvonen, Mueller): its AutoEncoder, AutoEncoderNew, AutoEncoderTopK,
    BatchTopKSAE, MatryoshkaBatchTopKSAE, JumpReluAutoEncoder and GatedAutoEncoder.

    Raises:
        InvalidInputError: another class of theirs, such as a crosscoder.
        CorruptArtifactError: the files cannot be read or do not fit each other.
    """
    with told_as_damaged(folder):
        config = read_config(folder / "config.json").get("trainer") or {}
        kind = str(config.get("dict_class", ""))
        if kind not in _CLASSES:
            raise InvalidInputError(
                f"{folder} holds a {kind or 'dictionary without its class'}; of dictionary_learning, {', '.join(_CLASSES)} can be read."
            )
        dictionary = _CLASSES[kind](_state_dict(folder / "ae.pt"), config).dictionary()
    layer = "" if config.get("layer") is None else f"layer {config['layer']}"
    return Published(dictionary, "dictionary_learning", str(config.get("submodule_name") or layer), str(config.get("lm_name") or ""))


def _plain(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    return AffineWeights(tensors["encoder.weight"].T, tensors["encoder.bias"], tensors["decoder.weight"].T, tensors["bias"])


def _with_biases_of_its_own(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    encoder, decoder = tensors["encoder.weight"].T, tensors["decoder.weight"].T
    return AffineWeights(encoder, tensors["encoder.bias"], decoder, tensors["decoder.bias"], subtracts_bias=False)


def _linear(tensors: Tensors) -> AffineWeights:
    return AffineWeights(tensors["encoder.weight"].T, tensors["encoder.bias"], tensors["decoder.weight"].T, tensors["b_dec"])


def _topk(tensors: Tensors, config: Mapping[str, Any]) -> AffineWeights:
    return replace(_linear(tensors), k=int(tensors["k"] if "k" in tensors else config["k"]))


def _batchtopk(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    return _above(_linear(tensors), float(tensors["threshold"]))


def _matryoshka(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    found = AffineWeights(tensors["W_enc"], tensors["b_enc"], tensors["W_dec"], tensors["b_dec"])
    return _above(found, float(tensors["threshold"]))


def _above(found: AffineWeights, threshold: float) -> AffineWeights:
    if threshold < 0:
        raise InvalidInputError("The dictionary's threshold was never set: its training ended too early for it to encode single images.")
    return replace(found, threshold=np.full(len(found.encoder_bias), threshold, np.float32))


def _jumprelu(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    found = AffineWeights(
        tensors["W_enc"], tensors["b_enc"], tensors["W_dec"], tensors["b_dec"], tensors["threshold"], subtracts_bias=False
    )
    return found.in_units_of_the_decoder()


def _gated(tensors: Tensors, _: Mapping[str, Any]) -> AffineWeights:
    encoder, size = tensors["encoder.weight"].T, len(tensors["r_mag"])
    found = AffineWeights(encoder, np.zeros(size, np.float32), tensors["decoder.weight"].T, tensors["decoder_bias"])
    return found.gated(tensors["gate_bias"], tensors["r_mag"], tensors["mag_bias"]).in_units_of_the_decoder()


_CLASSES: Mapping[str, Callable[[Tensors, Mapping[str, Any]], AffineWeights]] = {
    "AutoEncoder": _plain,
    "AutoEncoderNew": _with_biases_of_its_own,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batchtopk,
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "JumpReluAutoEncoder": _jumprelu,
    "GatedAutoEncoder": _gated,
}


def read_sparsify(folder: Path) -> Published:
    """`sae.safetensors` and `cfg.json` of sparsify (EleutherAI), which are TopK.

    Raises:
        InvalidInputError: a transcoder, a skip connection, or an activation other than TopK.
        CorruptArtifactError: the files cannot be read or do not fit each other.
    """
    with told_as_damaged(folder):
        config = read_config(folder / "cfg.json")
        activation = config.get("activation") or "topk"
        if activation != "topk" or config.get("transcode") or config.get("skip_connection"):
            raise InvalidInputError(f"{folder} is not a plain TopK autoencoder of sparsify (activation {activation}, or a transcoder).")
        tensors = read_safetensors(folder / "sae.safetensors")
        found = AffineWeights(tensors["encoder.weight"].T, tensors["encoder.bias"], tensors["W_dec"], tensors["b_dec"], k=int(config["k"]))
        dictionary = found.dictionary()
    return Published(dictionary, "sparsify")


def read_tied_bias(file: Path) -> Published:
    """A checkpoint of DN-CBM (Rao et al., ECCV 2024), which are those of the library sparse_autoencoder: ReLU, one bias that is subtracted
    before the encoder and added after the decoder, and perhaps an axis for several autoencoders at once, which must be one here.

    Raises:
        InvalidInputError: the file has other tensors, or several autoencoders.
        CorruptArtifactError: the file cannot be read without executing what it holds.
    """
    with told_as_damaged(file):
        tensors = {name.lstrip("_").replace("._", "."): tensor for name, tensor in _state_dict(file).items()}
        bias = next((tensors[name] for name in ("tied_bias", "pre_encoder_bias.bias_reference") if name in tensors), None)
        if bias is None or not {"encoder.weight", "encoder.bias", "decoder.weight"} <= tensors.keys():
            raise InvalidInputError(f"{file} is not a checkpoint of DN-CBM; it holds {', '.join(sorted(tensors)[:8]) or 'no tensors'}.")
        encoder = _only_one(tensors["encoder.weight"], 2)
        found = AffineWeights(
            encoder.T, _only_one(tensors["encoder.bias"], 1), _only_one(tensors["decoder.weight"], 2).T, _only_one(bias, 1)
        )
        dictionary = found.dictionary()
    return Published(dictionary, "DN-CBM")


def _only_one(tensor: np.ndarray, axes: int) -> np.ndarray:
    if tensor.ndim == axes:
        return tensor
    if tensor.ndim == axes + 1 and len(tensor) == 1:
        return np.asarray(tensor[0])
    raise InvalidInputError(f"The checkpoint holds {len(tensor)} autoencoders side by side; save one of them in a file of its own.")


def _state_dict(file: Path) -> dict[str, np.ndarray]:
    import torch

    loaded = torch.load(file, map_location="cpu", weights_only=True)
    loaded = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(loaded, dict):
        raise ValueError(f"{file.name} does not hold a state dict")
    return {name: tensor.detach().float().numpy() for name, tensor in loaded.items() if isinstance(tensor, torch.Tensor)}
