"""What is drawn is what the truth, the masks and the captions say."""

from __future__ import annotations

import numpy as np
import pytest

from cbm.images.scenes import CONCEPTS, FACTORS, Scenes
from cbm.images.scenes.captions import SEEN_DISTRACTORS, UNSEEN_DISTRACTORS, compose
from cbm.images.scenes.factors import COLOURS, COUNTS
from cbm.images.scenes.shapes import circle, figure, polygon

SQUARE = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))


def test_masks_belong_to_the_true_concepts_with_a_place_and_are_never_empty() -> None:
    for scene in Scenes("free", 60, 1):
        masks = scene.masks(64)
        placed = {concept.name for concept in CONCEPTS if concept.has_place}
        assert set(masks) == placed & set(scene.concepts)
        assert all(mask.any() for mask in masks.values())


def test_masks_of_different_things_do_not_overlap_and_fill_the_picture() -> None:
    for scene in Scenes("free", 30, 2):
        masks = scene.masks(96)
        values = scene.layout.values
        things = [values["shape"], values["background"], *scene.layout.extras]
        assert (sum(masks[name].astype(int) for name in things) == 1).all()
        assert np.array_equal(masks[values["shape"]], masks[values["colour"]])
        assert np.array_equal(masks[values["shape"]], masks[values["pattern"]])


def test_plain_figures_have_their_colour_inside_the_mask_and_nowhere_else() -> None:
    for scene in Scenes("free", 80, 3):
        if scene.layout.values["pattern"] != "plain":
            continue
        pixels, mask = scene.pixels(128).astype(int), scene.masks(128)[scene.layout.values["colour"]]
        colour = np.array(COLOURS[scene.layout.values["colour"]])
        matches = (np.abs(pixels - colour) <= 2).all(axis=2)
        assert matches[mask].mean() > 0.7
        assert not matches[~mask].any()


def test_masks_and_pictures_mean_the_same_at_every_size() -> None:
    for scene in Scenes("free", 10, 4):
        for name, mask in scene.masks(64).items():
            fine = scene.masks(256)[name].reshape(64, 4, 64, 4).mean(axis=(1, 3))
            assert np.abs(fine - mask).mean() < 0.05
        coarse = scene.pixels(256).astype(float).reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        assert np.abs(coarse - scene.pixels(64)).mean() < 4


def test_figures_do_not_touch_and_stay_inside_the_picture() -> None:
    for scene in Scenes("free", 200, 5):
        placed = [*scene.layout.figures, *scene.layout.extras.values()]
        for index, one in enumerate(scene.layout.figures):
            assert min(one.x, one.y, 1 - one.x, 1 - one.y) >= one.radius
            for other in placed[:index]:
                assert np.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius


def test_position_and_size_and_count_say_what_is_drawn() -> None:
    for scene in Scenes("free", 200, 6):
        values, figures = scene.layout.values, scene.layout.figures
        assert len(figures) == COUNTS.index(values["count"]) + 1
        along = {"left": [f.x for f in figures], "right": [1 - f.x for f in figures]}
        along |= {"top": [f.y for f in figures], "bottom": [1 - f.y for f in figures]}
        assert max(along[values["position"]]) < 0.5
        assert (figures[0].radius > 0.12) == (values["size"] == "large")


@pytest.mark.parametrize("size", [32, 224])
def test_a_picture_is_square_rgb_of_the_asked_size(size: int) -> None:
    picture = Scenes("free", 1)[0].draw(size)
    assert (picture.size, picture.mode) == ((size, size), "RGB")


def test_polygon_distance_equals_that_of_a_box() -> None:
    x, y = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-2, 2, 41))
    outside = np.hypot(np.maximum(np.abs(x) - 1, 0), np.maximum(np.abs(y) - 1, 0))
    inside = np.minimum(np.maximum(np.abs(x), np.abs(y)) - 1, 0)
    assert np.allclose(polygon(x, y, SQUARE), outside + inside, atol=1e-6)


def test_every_figure_about_fills_the_unit_circle() -> None:
    x, y = np.meshgrid(np.linspace(-1.4, 1.4, 141), np.linspace(-1.4, 1.4, 141))
    far = circle(x, y, (0.0, 0.0), 1.17) > 0
    for shape in FACTORS["shape"]:
        distance = figure(shape, x, y)
        assert (distance[far] > 0).all()
        assert (distance < 0).mean() > 0.1


def test_captions_claim_only_what_is_true() -> None:
    vocabulary = {word: concept.name for concept in CONCEPTS for word in concept.words}
    for scene in Scenes("free", 100, 7):
        for caption in scene.captions:
            said = {vocabulary[word] for word in caption.replace(",", " ").split() if word in vocabulary}
            assert said <= set(scene.concepts), caption
            assert not set(caption.split()) & {*SEEN_DISTRACTORS, *UNSEEN_DISTRACTORS} - {"scene"}


def test_the_caption_says_everything() -> None:
    for scene in Scenes("free", 50, 8):
        text = scene.caption
        for concept in CONCEPTS:
            if concept.name in scene.concepts:
                assert any(word in text for word in concept.words), (concept.name, text)


def test_a_bare_claim_makes_a_short_caption() -> None:
    generator = np.random.default_rng(0)
    captions = {compose({"colour": "red"}, (), generator) for _ in range(50)}
    assert any(len(caption.split()) <= 2 for caption in captions)
    assert all("red" in caption for caption in captions)
