"""The shipped demo backbone knows its world, and its training script runs and repeats itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cbm.backbones.demo_data import draw_scenes, thing_of_concept, word_captions
from cbm.backbones.demo_model import FOLDER, MODEL_CONFIG, build_model, evaluate, load_backbone, normalised
from cbm.backbones.demo_training import DemoTrainingConfig, train, write_backbone
from cbm.images.scenes import CONCEPTS, Scenes

TINY = DemoTrainingConfig(scenes=40, captions=60, steps=3, batch_size=16, warmup_steps=1, evaluate_every=2, evaluation_scenes=30, workers=1)


@pytest.fixture(scope="module")
def shipped() -> torch.nn.Module:
    return load_backbone()


def test_the_shipped_weights_tell_the_values_of_every_factor_by_name(shipped: torch.nn.Module) -> None:
    figures = evaluate(shipped, Scenes("free", 300, seed=5, split="test"))
    for factor in ("shape", "colour", "pattern", "background"):
        assert figures[factor] >= 0.95, figures


def test_the_shipped_files_agree_with_the_code_and_stay_small() -> None:
    assert json.loads((FOLDER / "config.json").read_text()) == MODEL_CONFIG
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 15e6
    history = json.loads((FOLDER / "training.json").read_text())["history"]
    assert min(history[-1][factor] for factor in ("shape", "colour", "pattern", "background")) >= 0.95


def test_the_mean_of_the_patch_embeddings_is_the_image_embedding(shipped: torch.nn.Module) -> None:
    pixels = torch.from_numpy(np.stack([scene.pixels(64) for scene in Scenes("free", 4)]))
    with torch.inference_mode():
        states = shipped.visual.transformer(shipped.visual._embeds(normalised(pixels)))
        patches = shipped.visual.ln_post(states)[:, 1:] @ shipped.visual.proj
        pooled = shipped.encode_image(normalised(pixels))
    assert torch.allclose(patches.mean(dim=1), pooled, atol=1e-4)


def test_training_repeats_itself_and_writes_an_ordinary_open_clip_model(tmp_path) -> None:
    state, history = train(TINY)
    again, _ = train(TINY)
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    write_backbone(tmp_path, state, history, TINY)
    model = load_backbone(tmp_path)
    assert [figures["step"] for figures in history] == [2, 3]
    figures = evaluate(model, Scenes("free", TINY.evaluation_scenes, TINY.seed, "validation"), drawn_size=64)
    assert 0 <= figures["shape"] <= 1


def test_training_changes_only_the_tokens_that_captions_use() -> None:
    state, _ = train(TINY)
    before = build_model(TINY.seed).token_embedding.weight.detach().half()
    changed = (state["token_embedding.weight"] != before).any(dim=1)
    assert 20 < int(changed.sum()) < 300


def test_the_cover_of_things_is_a_partition_of_every_patch() -> None:
    data = draw_scenes(Scenes("free", 20, 3), 64, 8, workers=1)
    assert np.abs(data.cover.astype(int).sum(axis=1) - 255).max() <= data.cover.shape[1]
    things = thing_of_concept()
    for index, concept in enumerate(CONCEPTS):
        if concept.has_place:
            shown = data.cover[data.truth[:, index], things[index]]
            assert (shown.max(axis=1) > 0).all()


def test_bare_names_claim_themselves() -> None:
    bare, words = word_captions(32)
    assert np.array_equal(bare.claims[:, :-1], np.eye(len(CONCEPTS), dtype=bool))
    assert (words.claims.sum(axis=1) == 1).all()
