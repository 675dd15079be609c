"""Autoencoders that others trained compute here what their own libraries document for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cbm import verbs
from cbm.core.errors import CorruptArtifactError, InvalidInputError, MismatchError, NotFoundError
from cbm.dictionaries.formats import read_published
from cbm.dictionaries.topk_dictionary import TopKDictionary
from cbm.names.concepts import ConceptTable
from cbm.reproduction import reproduction
from cbm.verbs.load_dictionary import DictionaryLoaded
from cbm.workspace.workspace import Workspace

DIM, SIZE, K = 12, 31, 4
Tensors = dict[str, torch.Tensor]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=_generator)


_generator = torch.Generator().manual_seed(0)
W_ENC, B_ENC, W_DEC, B_DEC = normal(DIM, SIZE), normal(SIZE), normal(SIZE, DIM), normal(DIM)
THRESHOLD, FACTORS = normal(SIZE).abs() + 0.2, normal(SIZE)
RAW = np.random.default_rng(1).normal(size=(40, DIM)).astype(np.float32)
NORMS = W_DEC.norm(dim=1)


def responses(*, subtracted: bool = True) -> torch.Tensor:
    x = torch.from_numpy(RAW)
    return (x - B_DEC if subtracted else x) @ W_ENC + B_ENC


def above(h: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    return h.relu() * (h > threshold)


def strongest(h: torch.Tensor) -> torch.Tensor:
    values, places = h.relu().topk(K, dim=1)
    return torch.zeros_like(h).scatter(1, places, values)


def gated(x: torch.Tensor, gate: torch.Tensor, r_mag: torch.Tensor, mag: torch.Tensor) -> torch.Tensor:
    return ((x + gate) > 0) * (x * r_mag.exp() + mag).relu()


GATE, R_MAG, MAG = normal(SIZE), normal(SIZE) * 0.3, normal(SIZE)
AFFINE: Tensors = {"W_enc": W_ENC, "b_enc": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}
UNGATED = (torch.from_numpy(RAW) - B_DEC) @ W_ENC
SAELENS: Mapping[str, tuple[dict[str, Any], Tensors, torch.Tensor, torch.Tensor]] = {
    "standard": ({}, AFFINE, above(responses(), 0), W_DEC),
    "standard, half precision": ({}, {name: tensor.bfloat16() for name, tensor in AFFINE.items()}, above(responses(), 0), W_DEC),
    "standard, bias not subtracted": ({"apply_b_dec_to_input": False}, AFFINE, above(responses(subtracted=False), 0), W_DEC),
    "standard with topk": ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}, AFFINE, strongest(responses()), W_DEC),
    "topk": ({"architecture": "topk", "k": K}, AFFINE, strongest(responses()), W_DEC),
    "topk in units of the decoder": (
        {"architecture": "topk", "k": K, "rescale_acts_by_decoder_norm": True},
        AFFINE,
        strongest(responses() * NORMS),
        W_DEC / NORMS[:, None],
    ),
    "jumprelu": ({"architecture": "jumprelu"}, AFFINE | {"threshold": THRESHOLD}, above(responses(), THRESHOLD), W_DEC),
    "jumprelu, log": ({"architecture": "jumprelu"}, AFFINE | {"log_threshold": THRESHOLD.log()}, above(responses(), THRESHOLD), W_DEC),
    "fine-tuned": (
        {"architecture": "jumprelu", "finetuning_scaling_factor": True},
        AFFINE | {"threshold": THRESHOLD, "scaling_factor": FACTORS},
        above(responses(), THRESHOLD),
        W_DEC * FACTORS[:, None],
    ),
    "fine-tuned topk": (
        {"architecture": "topk", "k": K, "finetuning_scaling_factor": True},
        AFFINE | {"finetuning_scaling_factor": FACTORS},
        strongest(responses()),
        W_DEC * FACTORS[:, None],
    ),
    "never fine-tuned": ({"finetuning_scaling_factor": False}, AFFINE | {"scaling_factor": torch.ones(SIZE)}, above(responses(), 0), W_DEC),
    "batchtopk": ({"architecture": "batchtopk"}, AFFINE | {"topk_threshold": torch.tensor(0.7)}, above(responses(), 0.7), W_DEC),
    "gated": (
        {"architecture": "gated"},
        {name: AFFINE[name] for name in ("W_enc", "W_dec", "b_dec")} | {"b_gate": GATE, "r_mag": R_MAG, "b_mag": MAG},
        gated(UNGATED, GATE, R_MAG, MAG),
        W_DEC,
    ),
}


def saelens(folder: Path, config: Mapping[str, Any], tensors: Tensors, **metadata: str) -> Path:
    folder.mkdir()
    written = {"architecture": "standard", "d_in": DIM, "d_sae": SIZE, "normalize_activations": "none", "metadata": metadata} | dict(config)
    (folder / "cfg.json").write_text(json.dumps(written))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "sae_weights.safetensors")
    return folder


@pytest.mark.parametrize("case", SAELENS)
def test_saelens_folders_compute_what_saelens_documents(case: str, tmp_path: Path) -> None:
    config, tensors, codes, decoder = SAELENS[case]
    found = read_published(saelens(tmp_path / "sae", config, tensors)).dictionary
    loose = 0.1 if "half" in case else 1e-4
    np.testing.assert_allclose(found.encode(RAW).to_dense(), codes.numpy(), atol=loose)
    np.testing.assert_allclose(found.decode(found.encode(RAW)), (codes @ decoder + B_DEC).numpy(), atol=5 * loose)
    assert isinstance(found, TopKDictionary) == ("topk" in case and case != "batchtopk")


LINEAR: Tensors = {"encoder.weight": W_ENC.T, "encoder.bias": B_ENC, "decoder.weight": W_DEC.T}
UNIT = W_DEC / NORMS[:, None]
OF_DICTIONARY_LEARNING: Mapping[str, tuple[Tensors, torch.Tensor, torch.Tensor]] = {
    "AutoEncoder": (LINEAR | {"bias": B_DEC}, above(responses(), 0), W_DEC),
    "AutoEncoderNew": (LINEAR | {"decoder.bias": B_DEC}, above(responses(subtracted=False), 0), W_DEC),
    "AutoEncoderTopK": (LINEAR | {"b_dec": B_DEC, "k": torch.tensor(K), "threshold": torch.tensor(-1.0)}, strongest(responses()), W_DEC),
    "BatchTopKSAE": (LINEAR | {"b_dec": B_DEC, "k": torch.tensor(K), "threshold": torch.tensor(0.7)}, above(responses(), 0.7), W_DEC),
    "MatryoshkaBatchTopKSAE": (AFFINE | {"threshold": torch.tensor(0.7)}, above(responses(), 0.7), W_DEC),
    "JumpReluAutoEncoder": (AFFINE | {"threshold": THRESHOLD}, above(responses(subtracted=False), THRESHOLD) * NORMS, UNIT),
    "GatedAutoEncoder": (
        {"encoder.weight": W_ENC.T, "decoder.weight": W_DEC.T, "decoder_bias": B_DEC, "gate_bias": GATE, "r_mag": R_MAG, "mag_bias": MAG},
        gated(UNGATED, GATE, R_MAG, MAG) * NORMS,
        UNIT,
    ),
}


def dictionary_learning(folder: Path, name: str, tensors: Tensors) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, "layer": 11, "lm_name": "CLIP"}}))
    torch.save(tensors, folder / "ae.pt")
    return folder


@pytest.mark.parametrize("name", OF_DICTIONARY_LEARNING)
def test_dictionary_learning_folders_compute_what_their_classes_do(name: str, tmp_path: Path) -> None:
    tensors, codes, decoder = OF_DICTIONARY_LEARNING[name]
    published = read_published(dictionary_learning(tmp_path / "ae", name, tensors))
    found = published.dictionary
    np.testing.assert_allclose(found.encode(RAW).to_dense(), codes.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.decode(found.encode(RAW)), (codes @ decoder + B_DEC).numpy(), atol=5e-4)
    assert (published.hook, published.model) == ("layer 11", "CLIP")


def test_a_sparsify_folder_is_topk(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps({"activation": "topk", "k": K, "d_in": DIM}))
    tensors = {"encoder.weight": W_ENC.T, "encoder.bias": B_ENC, "W_dec": W_DEC, "b_dec": B_DEC}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "sae.safetensors")
    found = read_published(tmp_path).dictionary
    np.testing.assert_allclose(found.encode(RAW).to_dense(), strongest(responses()).numpy(), atol=1e-4)
    (tmp_path / "cfg.json").write_text(json.dumps({"activation": "groupmax", "k": K}))
    with pytest.raises(InvalidInputError, match="groupmax"):
        read_published(tmp_path)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_of_dn_cbm_with_or_without_an_axis_of_components(tmp_path: Path, several: bool, wrapped: bool) -> None:
    tensors = {"tied_bias": B_DEC, "_encoder.weight": W_ENC.T, "_encoder.bias": B_ENC, "_decoder.weight": W_DEC.T}
    tensors = {name: tensor[None] for name, tensor in tensors.items()} if several else tensors
    torch.save({"state_dict": tensors, "epoch": 3} if wrapped else tensors, tmp_path / "final.pt")
    found = read_published(tmp_path / "final.pt").dictionary
    np.testing.assert_allclose(found.encode(RAW).to_dense(), above(responses(), 0).numpy(), atol=1e-4)
    torch.save({name: torch.cat([tensor] * 2) if several else tensor for name, tensor in tensors.items()}, tmp_path / "final.pt")
    if several:
        with pytest.raises(InvalidInputError, match="2 autoencoders side by side"):
            read_published(tmp_path / "final.pt")


class Planted:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("planted").touch, ())


def test_what_cannot_be_read_says_why_and_nothing_in_it_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"tied_bias": Planted()}, tmp_path / "evil.pt")
    with pytest.raises(CorruptArtifactError, match="which are not executed here"):
        read_published(tmp_path / "evil.pt")
    assert not Path("planted").exists()
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_published(tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match="SAELens"):
        read_published(tmp_path)
    old = saelens(tmp_path / "old", {}, AFFINE)
    (old / "cfg.json").write_text(json.dumps({"d_in": DIM, "d_sae": SIZE}))
    with pytest.raises(InvalidInputError, match="written by SAELens 2 or older"):
        read_published(old)
    with pytest.raises(InvalidInputError, match="not known here: surprise"):
        read_published(saelens(tmp_path / "more", {}, AFFINE | {"surprise": FACTORS}))
    with pytest.raises(InvalidInputError, match=r"cfg\.json says that it has none"):
        read_published(saelens(tmp_path / "factors", {}, AFFINE | {"scaling_factor": FACTORS}))
    bent = saelens(tmp_path / "tanh", {"architecture": "jumprelu", "activation_fn_str": "tanh-relu"}, AFFINE | {"threshold": THRESHOLD})
    with pytest.raises(InvalidInputError, match="jumprelu with tanh-relu"):
        read_published(bent)
    with pytest.raises(CorruptArtifactError, match="encoder bias holds numbers that are not finite"):
        read_published(saelens(tmp_path / "nan", {}, AFFINE | {"b_enc": B_ENC * torch.nan}))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "ae.pt").write_bytes(b"")
    with pytest.raises(NotFoundError, match=r"config\.json is missing"):
        read_published(tmp_path / "half")
    with pytest.raises(CorruptArtifactError, match="'k' is missing"):
        read_published(saelens(tmp_path / "no-k", {"architecture": "topk", "activation_fn_kwargs": {}}, AFFINE))
    with pytest.raises(InvalidInputError, match="CrossCoder"):
        read_published(dictionary_learning(tmp_path / "cross", "CrossCoder", LINEAR))
    with pytest.raises(InvalidInputError, match="never set"):
        read_published(dictionary_learning(tmp_path / "early", "BatchTopKSAE", LINEAR | {"b_dec": B_DEC, "threshold": torch.tensor(-1.0)}))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    home = Workspace(tmp_path_factory.mktemp("published") / "workspace")
    return home, verbs.embed("scenes:classes?count=60", workspace=home, device="cpu").embeddings


def fitting_dictionary(folder: Path, dim: int, **metadata: str) -> Path:
    """One that reconstructs exactly: the positive and the negative part of every coordinate."""
    both = torch.cat([torch.eye(dim), -torch.eye(dim)])
    tensors = {"W_enc": both.T, "b_enc": torch.zeros(2 * dim), "W_dec": both, "b_dec": torch.zeros(dim)}
    return saelens(folder, {"d_in": dim, "d_sae": 2 * dim}, tensors, **metadata)


def test_a_loaded_dictionary_is_measured_named_and_made_again(scenes: tuple[Workspace, str], tmp_path: Path) -> None:
    home, images = scenes
    dim = home.get(images).metrics["dim"]
    folder = fitting_dictionary(tmp_path / "sae", dim, model_name="clip-vit-b-32", hook_name="image_embeds")
    loaded: DictionaryLoaded = verbs.load_dictionary(folder, on=images, workspace=home)
    assert (loaded.size, loaded.dim, loaded.format) == (2 * dim, dim, "SAELens")
    assert loaded.fvu == pytest.approx(0, abs=1e-6)
    (note,) = loaded.notes
    assert "trained on clip-vit-b-32" in note
    other = "raw" if home.get(images).made.parameters()["space"] == "l2" else "l2"
    scaled = verbs.embed("scenes:classes?count=20", space=other, workspace=home, device="cpu").embeddings
    with pytest.raises(MismatchError, match="l2"):
        verbs.name(loaded.dictionary, "scenes", on=scaled, workspace=home, device="cpu")
    assert verbs.load_dictionary(folder, on=images, workspace=home).dictionary == loaded.dictionary
    named = verbs.name(loaded.dictionary, "scenes", workspace=home, device="cpu")
    assert len(ConceptTable.load(home.get(named.concepts).path).names) == 2 * dim
    model = verbs.train(named.concepts, images, head="dense", workspace=home, device="cpu").model
    assert "load_dictionary(" in reproduction(home, model).python


def test_what_does_not_belong_together_is_refused_with_the_reason(scenes: tuple[Workspace, str], tmp_path: Path) -> None:
    home, images = scenes
    dim = home.get(images).metrics["dim"]
    with pytest.raises(MismatchError, match=rf"vectors of {dim + 1} numbers"):
        verbs.load_dictionary(fitting_dictionary(tmp_path / "wide", dim + 1), on=images, workspace=home)
    inside = fitting_dictionary(tmp_path / "inside", dim, hook_name="blocks.8.hook_resid_post")
    with pytest.raises(MismatchError, match=r"blocks\.8\.hook_resid_post, inside the model"):
        verbs.load_dictionary(inside, on=images, workspace=home)
    assert verbs.load_dictionary(inside, on=images, same_hook=True, workspace=home).fvu == pytest.approx(0, abs=1e-6)


def test_a_dictionary_that_does_not_fit_the_embeddings_says_so(scenes: tuple[Workspace, str], tmp_path: Path) -> None:
    home, images = scenes
    dim = home.get(images).metrics["dim"]
    folder = fitting_dictionary(tmp_path / "sae", dim)
    weights = {"W_enc": 50 * normal(dim, SIZE), "b_enc": normal(SIZE), "W_dec": normal(SIZE, dim), "b_dec": normal(dim)}
    save_file(weights, folder / "sae_weights.safetensors")
    loaded = verbs.load_dictionary(folder, on=images, workspace=home)
    assert loaded.fvu is not None
    assert loaded.fvu > 1
    assert "worse than their mean" in loaded.notes[-1]
