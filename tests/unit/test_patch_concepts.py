"""Concepts at a patch, and pictures darkened where a concept is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cbm.backbones.backbone import Backbone
from cbm.bottlenecks.heatmaps import concept_heat_maps, patch_codes, shares_of_peak
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.images.scenes import Scenes
from cbm.ui.widgets.heatmaps import as_seen, darken


@pytest.fixture(scope="module")
def dictionary() -> JumpReluDictionary:
    generator = np.random.default_rng(3)
    dim, size = 128, 40
    return JumpReluDictionary(
        encoder=generator.normal(0, 1, (dim, size)).astype(np.float32),
        encoder_bias=generator.normal(0, 0.1, size).astype(np.float32),
        decoder=generator.normal(0, 1, (size, dim)).astype(np.float32),
        decoder_bias=generator.normal(0, 0.1, dim).astype(np.float32),
        threshold=np.full(size, 0.6, np.float32),
        mean=generator.normal(0, 0.05, dim).astype(np.float32),
        scale=2.0,
    )


@pytest.fixture(scope="module")
def patches() -> np.ndarray:
    return Backbone("demo").encode_patches(scene.draw(64) for scene in list(Scenes("classes", 3, 0, "test")))


@pytest.mark.parametrize("space", ["raw", "l2"])
def test_patches_of_the_demo_backbone_sum_to_the_pooled_response(dictionary: JumpReluDictionary, patches: np.ndarray, space: str) -> None:
    pooled = patches.mean(axis=(1, 2))
    if space == "l2":
        pooled = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    latents = np.arange(dictionary.size)
    heat = concept_heat_maps(dictionary, patches, latents, space)
    np.testing.assert_allclose(heat.mean(axis=(1, 2)), dictionary.preactivations(pooled, latents), atol=2e-5)


@pytest.mark.parametrize("space", ["raw", "l2"])
def test_codes_of_a_patch_are_its_responses_above_the_threshold(dictionary: JumpReluDictionary, patches: np.ndarray, space: str) -> None:
    codes = patch_codes(dictionary, patches[0], space).to_dense()
    heat = concept_heat_maps(dictionary, patches[:1], np.arange(dictionary.size), space)[0].reshape(-1, dictionary.size)
    assert (codes != 0).any()
    np.testing.assert_allclose(codes, np.where(heat > dictionary.threshold, heat, 0.0), atol=1e-5)


def test_shares_run_from_nothing_to_the_peak() -> None:
    shares = shares_of_peak(np.array([[-3.0, 0.0], [1.0, 4.0]]))
    np.testing.assert_allclose(shares, [[0, 0], [0.25, 1]])
    assert not shares_of_peak(np.full((2, 2), -1.0)).any()
    assert not shares_of_peak(np.full((2, 2), 2.0)).any()


def test_a_picture_stays_as_it_is_at_the_peak_and_darkens_outside() -> None:
    picture = Image.new("RGB", (80, 40), (200, 100, 50))
    shares = np.zeros((2, 2), np.float32)
    shares[0, 1] = 1.0
    dark = np.asarray(darken(picture, shares, opacity=0.5))
    assert dark.shape == (40, 80, 3)
    assert tuple(dark[2, 75]) == (200, 100, 50)
    assert tuple(dark[36, 4]) == (100, 50, 25)


@pytest.mark.parametrize(("mode", "size"), [("shortest", (40, 40)), ("squash", (80, 40)), ("longest", (80, 80))])
def test_the_part_that_the_backbone_sees(mode: str, size: tuple[int, int]) -> None:
    assert as_seen(Image.new("RGB", (80, 40), "red"), mode).size == size


def test_patches_used_longest_ago_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from cbm.ui.frame import cache

    monkeypatch.setattr(cache, "_COMMON", cache.Cache(2 * 4 * 16))
    store: cache.Shelf[np.ndarray] = cache.Shelf("patches of a test")
    for name in "ab":
        store.put(name, value=np.zeros((2, 2, 4), np.float32))
    assert store.get("a") is not None
    store.put("c", value=np.zeros((2, 2, 4), np.float32))
    assert [store.get(name) is not None for name in "abc"] == [True, False, True]
