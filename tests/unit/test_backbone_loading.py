"""Backbones: what loads, what is refused and how the refusal reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import cbm  # noqa: F401  (installs the torchvision hook before open_clip is imported)
from cbm.backbones import weights
from cbm.backbones.architectures import architecture_names, find_architecture
from cbm.backbones.backbone import Backbone
from cbm.backbones.reference import BackboneReference
from cbm.backbones.towers import build_model
from cbm.core.errors import InvalidInputError, MismatchError, MissingWeightsError, NotFoundError

CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8, "pool_type": "avg"},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def _random_state(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """Random weights with no zero biases, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    model = build_model(find_architecture(str(folder)), allow_network=False)
    return {name: torch.randn(tensor.shape, generator=generator) * 0.2 + 0.01 for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}))
    save_file(_random_state(folder, 0), folder / "model.safetensors")
    return folder


def test_a_folder_and_its_files_named_apart_are_the_same_backbone(folder: Path) -> None:
    whole = Backbone(str(folder), device="cpu")
    parts = Backbone(str(folder / "config.json"), str(folder / "model.safetensors"), device="cpu")
    assert whole.fingerprint == parts.fingerprint
    assert len(whole.fingerprint) == 32
    assert (whole.dim, whole.image_size) == (12, 32)


def test_fingerprint_changes_with_weights_preprocessing_and_architecture(folder: Path, tmp_path: Path) -> None:
    base = Backbone(str(folder), device="cpu")
    prints = {base.fingerprint}
    other = _random_state(folder, 1)
    save_file(other, tmp_path / "other.safetensors")
    prints.add(Backbone(str(folder), str(tmp_path / "other.safetensors"), device="cpu").fingerprint)
    for name, change in {"mean": {"preprocess_cfg": {"mean": [0.1, 0.5, 0.5]}}, "gelu": {"quick_gelu": True}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({**CONFIG, **change}))
        prints.add(Backbone(str(tmp_path / f"{name}.json"), str(folder / "model.safetensors"), device="cpu").fingerprint)
    assert len(prints) == 4


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}]
)
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_torch_checkpoints_of_every_nesting_load_the_same_tensors(folder: Path, tmp_path: Path, wrap, suffix: str) -> None:
    state = weights.read_state_dict(folder / "model.safetensors")
    torch.save(wrap(state), tmp_path / f"checkpoint{suffix}")
    loaded = Backbone(str(folder), str(tmp_path / f"checkpoint{suffix}"), device="cpu")
    assert loaded.fingerprint == Backbone(str(folder), device="cpu").fingerprint


class _Harmful:
    def __reduce__(self) -> tuple:
        return (print, ("executed",))


def test_a_checkpoint_with_python_objects_is_refused_unexecuted(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"state_dict": _Harmful()}, tmp_path / "harmful.pt")
    with pytest.raises(InvalidInputError, match="cannot be read safely"):
        Backbone(str(folder), str(tmp_path / "harmful.pt"))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_archive_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "openai.pt"))
    with pytest.raises(InvalidInputError, match="TorchScript"):
        Backbone(str(folder), str(tmp_path / "openai.pt"))


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pt", "empty.safetensors", "text.csv"])
def test_damaged_files_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"" if name.startswith("empty") else b"\x10not a checkpoint at all" * 9)
    with pytest.raises(InvalidInputError):
        Backbone(str(folder), str(tmp_path / name))


def test_a_checkpoint_of_another_architecture_names_the_tensors_that_differ(folder: Path, tmp_path: Path) -> None:
    state = weights.read_state_dict(folder / "model.safetensors")
    state["visual.extra"] = torch.ones(3)
    state["visual.proj"] = torch.ones(32, 13)
    del state["ln_final.bias"]
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(MismatchError) as raised:
        Backbone(str(folder), str(tmp_path / "odd.safetensors"))
    message = str(raised.value)
    assert "ln_final.bias" in message
    assert "visual.extra" in message
    assert "(32, 13), not (32, 12)" in message


def test_an_unknown_architecture_lists_close_ones() -> None:
    with pytest.raises(NotFoundError, match="ViT-B-32"):
        find_architecture("vit-b32")
    assert len(architecture_names()) > 100


def test_an_unknown_tag_lists_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="laion2b_s34b_b79k"):
        Backbone("ViT-B-32", "no-such-tag")
    with pytest.raises(NotFoundError, match="no checkpoint file"):
        Backbone("ViT-B-32", "/nowhere/model.safetensors")


def test_no_weights_named_says_what_to_name() -> None:
    with pytest.raises(MissingWeightsError, match="--pretrained"):
        Backbone("ViT-B-32")


def test_offline_the_error_says_which_file_to_fetch_and_where_to_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "_hub_is_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError) as raised:
        Backbone("ViT-B-32", "laion2b_s34b_b79k")
    message = str(raised.value)
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K" in message
    assert "--backbone ViT-B-32 --pretrained /path/to/" in message


def test_a_file_of_weights_trained_with_quickgelu_is_to_be_named_with_that_architecture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # With plain GELU the same file loads without complaint and embeds wrongly.
    monkeypatch.setattr(weights, "_hub_is_reachable", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeightsError, match="--backbone ViT-B-32-quickgelu --pretrained /path/to/"):
        Backbone("ViT-B-32", "openai")


def test_a_configuration_without_towers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"embed_dim": 4}')
    with pytest.raises(InvalidInputError, match="vision_cfg"):
        find_architecture(str(tmp_path))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InvalidInputError):
        find_architecture(str(tmp_path))


def test_references_match_by_fingerprint_or_by_stated_names() -> None:
    here = BackboneReference("ViT-B-32", "openai", "a" * 32)
    assert here.matches(BackboneReference("ViT-B-32", "renamed.safetensors", "a" * 32))
    assert not here.matches(BackboneReference("ViT-B-32", "openai", "b" * 32))
    foreign = BackboneReference.foreign("ViT-B/32", "OpenAI")
    assert foreign.matches(here)
    assert here.matches(foreign)
    assert foreign.matches(BackboneReference.foreign("ViT-B-32", "openai"))
    assert not foreign.matches(BackboneReference.foreign("ViT-B-16", "openai"))
    assert not here.matches(BackboneReference.foreign("ViT-B-32", "laion400m-e31"))
    assert BackboneReference.from_dict(foreign.to_dict()) == foreign
    with pytest.raises(MismatchError, match="vocabulary"):
        here.require_match(BackboneReference.foreign("RN50", "openai"), "the vocabulary and the embeddings")
