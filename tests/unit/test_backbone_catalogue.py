"""The list of backbones: complete, honest about what is not known, and true to the installed open_clip."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbm.backbones import catalogue
from cbm.backbones.architectures import find_architecture


def test_every_checkpoint_of_open_clip_is_offered_once_and_the_demo_first() -> None:
    from open_clip.pretrained import list_pretrained

    offers = catalogue.offers()
    assert offers[0].architecture == "demo"
    assert len({offer.name for offer in offers}) == len(offers)
    for architecture, tag in list_pretrained():
        offer = catalogue.find_offer(architecture, tag)
        assert offer is not None, (architecture, tag)
        assert offer.dim == find_architecture(architecture).dim
        assert offer.image_size >= 64


@pytest.mark.parametrize("architecture", ["demo", "ViT-B-32", "RN50", "ViT-B-16-SigLIP"])
def test_parameters_are_those_of_the_model(architecture: str) -> None:
    counted = catalogue.count_parameters(architecture)
    offer = next(offer for offer in catalogue.offers() if offer.architecture == architecture)
    assert counted is not None
    assert counted == offer.parameters
    assert offer.bytes == 4 * counted


def test_counts_need_no_memory_and_no_network_is_asked() -> None:
    assert catalogue.count_parameters("roberta-ViT-B-32") is None
    assert catalogue.count_parameters("ViT-bigG-14") == 2_539_567_105


def test_what_the_tag_says_of_the_training() -> None:
    assert catalogue.trained_on("openai") == "OpenAI's own pairs (WIT, 400 million)"
    assert catalogue.trained_on("laion2b_s34b_b79k") == "LAION-2B (English), 34 billion samples seen"
    assert catalogue.trained_on("commonpool_m_clip_s128m_b4k") == "CommonPool, medium scale, 128 million samples seen"
    assert catalogue.trained_on("mrl") == ""


def test_licence_is_stated_only_with_its_source() -> None:
    offers = catalogue.offers()
    assert all(bool(offer.licence) == bool(offer.licence_source) for offer in offers)
    metaclip = catalogue.find_offer("ViT-B-32", "metaclip_400m")
    assert metaclip is not None
    assert metaclip.licence == "CC BY-NC 4.0"
    unknown = catalogue.find_offer("ViT-B-16", "dfn2b")
    assert unknown is not None
    assert unknown.licence == ""


def test_only_what_is_on_this_machine_is_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalogue.at_hand("demo", None)
    assert not catalogue.at_hand("ViT-B-32", None)
    file = tmp_path / "weights.safetensors"
    assert not catalogue.at_hand("ViT-B-32", str(file))
    file.write_bytes(b"")
    assert catalogue.at_hand("ViT-B-32", str(file))
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repository, name: str(file) if name.endswith(".safetensors") else None
    )
    assert catalogue.at_hand("ViT-B-32", "openai")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repository, name: None)
    assert not catalogue.at_hand("ViT-B-32", "openai")


def test_file_of_openai_in_a_plain_architecture_is_warned_about() -> None:
    advice = catalogue.quick_gelu_advice("ViT-B-32", "/models/timm/vit_base_patch32_clip_224.openai/open_clip_model.safetensors")
    assert advice is not None
    assert "looks like OpenAI's weights" in advice
    assert "ViT-B-32-quickgelu" in advice
    unknown = catalogue.quick_gelu_advice("ViT-B-32", "/models/mine.safetensors")
    assert unknown is not None
    assert "does not say" in unknown
    assert catalogue.quick_gelu_advice("ViT-B-32-quickgelu", "/models/openai.safetensors") is None
    assert catalogue.quick_gelu_advice("ViT-B-16-SigLIP", "/models/mine.safetensors") is None
