"""What the demo backbone learns from: scenes as pixels, captions as tokens and claims, and where each concept lies on the patch grid."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from jaxtyping import Bool, Int, UInt8

from cbm.images.scenes import CONCEPT_INDEX, CONCEPTS, Scene, Scenes
from cbm.images.scenes.captions import SEEN_DISTRACTORS, WORD_TEMPLATES, compose, random_claims
from cbm.images.scenes.factors import EXTRAS

DRAWN_SIZES = (64, 64, 128, 128, 224)
"""Scenes are drawn at these sizes in turn and squashed to the backbone's, so that no size of drawing is foreign to it."""
_CHUNK = 500


@dataclass(frozen=True)
class SceneTensors:
    """Drawn scenes with all that is known of them."""

    pixels: UInt8[np.ndarray, "scenes size size 3"]
    truth: Bool[np.ndarray, "scenes concepts"]
    cover: UInt8[np.ndarray, "scenes things patches"]
    """Share of each patch (0 to 255) that the figures (thing 0), the background (1) and each extra (2 onwards) fill."""


@dataclass(frozen=True)
class CaptionPool:
    """Tokenised captions and what each claims."""

    tokens: Int[np.ndarray, "captions context"]
    claims: Bool[np.ndarray, "captions claims"]
    """One column a truth concept, then one that is true of no scene."""


def thing_of_concept() -> Int[np.ndarray, " concepts"]:
    """Row of `SceneTensors.cover` that shows each concept; -1 for those without a place."""
    rows = np.full(len(CONCEPTS), -1)
    for index, concept in enumerate(CONCEPTS):
        if concept.has_place:
            rows[index] = 2 + EXTRAS.index(concept.name) if concept.factor == "extra" else int(concept.factor == "background")
    return rows


def fit_pixels(scene: Scene, drawn_size: int, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """The scene drawn at one size and squashed (bicubic) to another, as the backbone's preprocessing does it."""
    if drawn_size == size:
        return scene.pixels(size)
    from PIL import Image

    return np.asarray(scene.draw(drawn_size).resize((size, size), Image.Resampling.BICUBIC))


def _cover(scene: Scene, size: int, grid: int) -> UInt8[np.ndarray, "things patches"]:
    cover = np.zeros((2 + len(EXTRAS), grid * grid), dtype=np.uint8)
    masks = scene.masks(size)
    shown = {0: scene.layout.values["shape"], 1: scene.layout.values["background"]}
    shown |= {2 + index: name for index, name in enumerate(EXTRAS) if name in masks}
    for row, name in shown.items():
        blocks = masks[name].reshape(grid, size // grid, grid, size // grid)
        cover[row] = (blocks.mean(axis=(1, 3)) * 255).astype(np.uint8).reshape(-1)
    return cover


def _draw_chunk(arguments: tuple[Scenes, int, int, int, int]) -> SceneTensors:
    scenes, start, stop, size, grid = arguments
    chunk = scenes[start:stop]
    pixels = np.stack([fit_pixels(scene, DRAWN_SIZES[scene.index % len(DRAWN_SIZES)], size) for scene in chunk])
    return SceneTensors(pixels, np.stack([scene.truth for scene in chunk]), np.stack([_cover(scene, size, grid) for scene in chunk]))


def draw_scenes(scenes: Scenes, size: int, grid: int, workers: int) -> SceneTensors:
    """Draw all `scenes` in `workers` processes; the result does not depend on their number."""
    spans = [(scenes, start, min(start + _CHUNK, len(scenes)), size, grid) for start in range(0, len(scenes), _CHUNK)]
    if workers <= 1:
        parts = [_draw_chunk(span) for span in spans]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            parts = list(pool.map(_draw_chunk, spans))
    return SceneTensors(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.cover for part in parts]),
    )


def _tokenise(texts: Sequence[str], context_length: int) -> Int[np.ndarray, "captions context"]:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer(context_length=context_length)(list(texts)).numpy()


def word_captions(context_length: int) -> tuple[CaptionPool, CaptionPool]:
    """The bare names in the order of `CONCEPTS`, and every name, synonym and distractor in every template."""
    bare = CaptionPool(
        _tokenise([concept.name for concept in CONCEPTS], context_length), np.eye(len(CONCEPTS), len(CONCEPTS) + 1, dtype=bool)
    )
    texts, claims = [], []
    for template in sorted(set(WORD_TEMPLATES)):
        for concept in CONCEPTS:
            texts += [template.format(word) for word in concept.words]
            claims += [CONCEPT_INDEX[concept.name]] * len(concept.words)
        texts += [template.format(word) for word in SEEN_DISTRACTORS]
        claims += [len(CONCEPTS)] * len(SEEN_DISTRACTORS)
    matrix = np.zeros((len(texts), len(CONCEPTS) + 1), dtype=bool)
    matrix[np.arange(len(texts)), claims] = True
    return bare, CaptionPool(_tokenise(texts, context_length), matrix)


def compound_captions(scenes: Scenes, count: int, seed: int, context_length: int) -> CaptionPool:
    """Captions that claim several things, each written of one of `scenes`; one in ten claims everything that is true."""
    generator = np.random.default_rng(seed)
    texts = []
    claims = np.zeros((count, len(CONCEPTS) + 1), dtype=bool)
    for row in range(count):
        layout = scenes[int(generator.integers(len(scenes)))].layout
        share = 1.0 if generator.random() < 0.1 else float(generator.uniform(0.15, 0.5))
        values, extras = random_claims(layout.values, layout.extras, generator, share)
        texts.append(compose(values, extras, generator))
        claims[row, [CONCEPT_INDEX[name] for name in (*values.values(), *extras)]] = True
    return CaptionPool(_tokenise(texts, context_length), claims)
