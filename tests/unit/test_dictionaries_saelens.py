"""The exported folder computes what SAELens documents for it, and what the dictionary itself computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.linear import PcaDictionary
from cbm.dictionaries.saelens import load_saelens, save_saelens

DIM, SIZE = 14, 37


@pytest.fixture
def dictionary() -> JumpReluDictionary:
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    return JumpReluDictionary(
        encoder=normal(DIM, SIZE),
        encoder_bias=normal(SIZE),
        decoder=normal(SIZE, DIM),
        decoder_bias=normal(DIM),
        threshold=generator.uniform(0.1, 2, SIZE).astype(np.float32),
        mean=normal(DIM) * 3,
        scale=2.7,
    )


@pytest.fixture
def embeddings() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(23, DIM)).astype(np.float32)


def documented_formula(folder: Path, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and reconstructions of `raw` by the published formula, in float64: jump((x - b_dec) W_enc + b_enc), z W_dec + b_dec."""
    config = json.loads((folder / "cfg.json").read_text())
    weights = {name: tensor.astype(np.float64) for name, tensor in load_file(folder / "sae_weights.safetensors").items()}
    factor = np.ones((len(raw), 1))
    if config["normalize_activations"] == "constant_norm_rescale":
        factor = np.sqrt(config["d_in"]) / np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    responses = np.maximum((raw * factor - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"], 0)
    codes = np.where(responses > weights["threshold"], responses, 0)
    return codes, (codes @ weights["W_dec"] + weights["b_dec"]) / factor


def test_the_documented_formula_gives_the_same_codes_and_reconstructions(
    dictionary: JumpReluDictionary, embeddings: np.ndarray, tmp_path: Path
) -> None:
    save_saelens(dictionary, tmp_path, model_name="clip-vit-b-32")
    codes, reconstructions = documented_formula(tmp_path, embeddings)
    own = dictionary.encode(embeddings)
    np.testing.assert_allclose(codes, own.to_dense(), atol=2e-5)
    np.testing.assert_allclose(reconstructions, dictionary.decode(own), atol=2e-5)


def test_raw_inputs_of_a_dictionary_on_normalised_embeddings(
    dictionary: JumpReluDictionary, embeddings: np.ndarray, tmp_path: Path
) -> None:
    save_saelens(dictionary, tmp_path, normalise_inputs=True)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    codes, reconstructions = documented_formula(tmp_path, embeddings)
    own = dictionary.encode(embeddings / lengths)
    np.testing.assert_allclose(codes, own.to_dense(), atol=2e-5)
    np.testing.assert_allclose(reconstructions, dictionary.decode(own) * lengths, atol=2e-4)


def test_the_folder_holds_exactly_what_saelens_reads(dictionary: JumpReluDictionary, tmp_path: Path) -> None:
    save_saelens(dictionary, tmp_path, model_name="m", hook_name="h", metadata={"license": "mit"})
    config = json.loads((tmp_path / "cfg.json").read_text())
    tensors = load_file(tmp_path / "sae_weights.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "W_enc": (DIM, SIZE),
        "b_enc": (SIZE,),
        "W_dec": (SIZE, DIM),
        "b_dec": (DIM,),
        "threshold": (SIZE,),
    }
    assert config["architecture"] == "jumprelu"
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (DIM, SIZE, "float32")
    assert int(config["metadata"]["sae_lens_version"].split(".")[0]) >= 6
    assert config["metadata"]["license"] == "mit"


@pytest.mark.parametrize("normalise_inputs", [False, True])
def test_what_is_saved_loads_to_the_same_codes(
    dictionary: JumpReluDictionary, embeddings: np.ndarray, tmp_path: Path, normalise_inputs: bool
) -> None:
    save_saelens(dictionary, tmp_path, normalise_inputs=normalise_inputs)
    loaded = load_saelens(tmp_path)
    np.testing.assert_allclose(loaded.encode(embeddings).to_dense(), dictionary.encode(embeddings).to_dense(), atol=1e-4)
    np.testing.assert_allclose(loaded.decode(loaded.encode(embeddings)), dictionary.decode(dictionary.encode(embeddings)), atol=1e-4)


def test_a_standard_autoencoder_that_does_not_subtract_its_bias_loads(
    dictionary: JumpReluDictionary, embeddings: np.ndarray, tmp_path: Path
) -> None:
    save_saelens(dictionary, tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | {"architecture": "standard", "apply_b_dec_to_input": False}))
    weights = load_file(tmp_path / "sae_weights.safetensors")
    del weights["threshold"]
    save_file(weights, tmp_path / "sae_weights.safetensors")
    expected = np.maximum(embeddings @ weights["W_enc"] + weights["b_enc"], 0)
    np.testing.assert_allclose(load_saelens(tmp_path).encode(embeddings).to_dense(), expected, atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "temporal"},
        {"architecture": "standard", "activation_fn_str": "tanh-relu"},
        {"normalize_activations": "layer_norm"},
        {"reshape_activations": "hook_z"},
    ],
)
def test_what_cannot_be_computed_faithfully_is_refused(dictionary: JumpReluDictionary, tmp_path: Path, change: dict[str, str]) -> None:
    save_saelens(dictionary, tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(config | change))
    with pytest.raises(InvalidInputError, match="not supported"):
        load_saelens(tmp_path)


def test_damaged_and_missing_files_are_told_apart(dictionary: JumpReluDictionary, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"cfg\.json is missing"):
        load_saelens(tmp_path)
    save_saelens(dictionary, tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        load_saelens(tmp_path)


def test_a_baseline_has_no_saelens_form(embeddings: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="pca"):
        save_saelens(PcaDictionary.learn(embeddings, k=3), tmp_path)
