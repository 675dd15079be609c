"""Scenes by address: `scene:<kind>/<split>/<seed>/<index>` says all there is to know about one."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload
from urllib.parse import parse_qsl

import numpy as np
from jaxtyping import Bool, Int, UInt8

from cbm.core.errors import InvalidInputError
from cbm.images.scenes.captions import compose, random_claims, word_caption
from cbm.images.scenes.drawing import draw_masks, draw_pixels
from cbm.images.scenes.factors import CONCEPT_INDEX, CONCEPTS, FACTORS
from cbm.images.scenes.layout import Layout, sample_layout
from cbm.images.scenes.tasks import (
    CLASS_RULES,
    SHORTCUT_CLASSES,
    SHORTCUT_GROUPS,
    LabelledLayout,
    sample_class,
    sample_shortcut,
)

if TYPE_CHECKING:
    from PIL.Image import Image

KINDS = ("free", "classes", "shortcut")
_URI = re.compile(r"scene:(?P<kind>[a-z]+)/(?P<split>[a-z0-9_-]+)/(?P<seed>\d{1,18})/(?P<index>\d{1,9})")
_SOURCE = re.compile(r"scenes:(?P<kind>[a-z]+)(?:\?(?P<query>.*))?")
_MOST_SCENES = 10_000_000


def _generator(text: str) -> np.random.Generator:
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def _names(kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Class names and group names of a kind of scene."""
    if kind == "classes":
        return tuple(CLASS_RULES), ()
    if kind == "shortcut":
        return SHORTCUT_CLASSES, SHORTCUT_GROUPS
    return (), ()


@dataclass(frozen=True)
class Scene:
    """One scene; everything follows from its address."""

    kind: str
    split: str
    seed: int
    index: int

    @property
    def uri(self) -> str:
        return f"scene:{self.kind}/{self.split}/{self.seed}/{self.index}"

    @functools.cached_property
    def _labelled(self) -> LabelledLayout:
        generator = _generator(self.uri)
        if self.kind == "classes":
            return sample_class(generator, self.index % len(CLASS_RULES))
        if self.kind == "shortcut":
            return sample_shortcut(generator, self.index % len(SHORTCUT_CLASSES), self.split)
        return LabelledLayout(sample_layout(generator))

    @property
    def layout(self) -> Layout:
        return self._labelled.layout

    @property
    def label(self) -> int:
        """Index into the kind's class names; -1 for free scenes."""
        return self._labelled.label

    @property
    def group(self) -> int:
        """Index into the kind's group names; -1 where there are none."""
        return self._labelled.group

    @functools.cached_property
    def truth(self) -> Bool[np.ndarray, " concepts"]:
        """Which of `CONCEPTS` are true, in their order."""
        truth = np.zeros(len(CONCEPTS), dtype=bool)
        for name in (*(self.layout.values[factor] for factor in FACTORS), *self.layout.extras):
            truth[CONCEPT_INDEX[name]] = True
        truth.setflags(write=False)
        return truth

    @property
    def concepts(self) -> tuple[str, ...]:
        """The names of the concepts that are true."""
        return tuple(concept.name for concept, true in zip(CONCEPTS, self.truth, strict=True) if true)

    @property
    def caption(self) -> str:
        """One full sentence that says everything."""
        layout = self.layout
        return compose(layout.values, tuple(layout.extras), _generator(self.uri + "#caption"), several=len(layout.figures) > 1)

    @property
    def captions(self) -> tuple[str, ...]:
        """A full sentence, two fragments and three single words, all true."""
        generator = _generator(self.uri + "#captions")
        layout = self.layout
        several = len(layout.figures) > 1
        fragments = [compose(*random_claims(layout.values, layout.extras, generator, 0.35), generator, several) for _ in range(2)]
        words = [word_caption(str(name), generator) for name in generator.choice(np.array(self.concepts), 3, replace=False)]
        return (self.caption, *fragments, *words)

    def pixels(self, size: int = 224) -> UInt8[np.ndarray, "size size 3"]:
        """The scene as RGB bytes, `size` pixels a side."""
        return draw_pixels(self.layout, size)

    def draw(self, size: int = 224) -> Image:
        """The scene as a PIL image, `size` pixels a side."""
        from PIL import Image

        return Image.fromarray(self.pixels(size))

    def masks(self, size: int = 224) -> dict[str, Bool[np.ndarray, "size size"]]:
        """For each true concept that has a place, the pixels that show it."""
        return draw_masks(self.layout, size)


def read_scene(uri: str) -> Scene:
    """The scene at `scene:<kind>/<split>/<seed>/<index>`.

    Raises:
        InvalidInputError: the URI is malformed or its kind unknown.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise InvalidInputError(f"{uri!r} is not a scene; a scene's URI has the form scene:<kind>/<split>/<seed>/<index>.")
    return Scene(_known_kind(match["kind"]), match["split"], int(match["seed"]), int(match["index"]))


def _known_kind(kind: str) -> str:
    if kind not in KINDS:
        raise InvalidInputError(f"There are no scenes of kind {kind!r}; kinds are {', '.join(KINDS)}.")
    return kind


class Scenes(Sequence[Scene]):
    """The first `count` scenes of a kind, split and seed; more scenes of the same seed only append."""

    def __init__(self, kind: str = "free", count: int = 1000, seed: int = 0, split: str = "train") -> None:
        self.kind = _known_kind(kind)
        if not 0 < count <= _MOST_SCENES:
            raise InvalidInputError(f"The number of scenes must be 1 to {_MOST_SCENES}, not {count}.")
        if seed < 0 or not re.fullmatch(r"[a-z0-9_-]+", split):
            raise InvalidInputError(f"Scenes need a seed of 0 or more and a lower-case split, not {seed} and {split!r}.")
        self.number, self.seed, self.split = count, seed, split
        self.class_names, self.group_names = _names(kind)

    @classmethod
    def from_source(cls, source: str) -> Scenes:
        """Scenes from a source such as `scenes:classes?count=4000&seed=0&split=train`.

        Raises:
            InvalidInputError: unknown kind or option, or a value that is not a number.
        """
        match = _SOURCE.fullmatch(source)
        if match is None:
            raise InvalidInputError(f"{source!r} does not name any scenes; write for example scenes:classes?count=4000&seed=0&split=train.")
        options = dict(parse_qsl(match["query"] or "", keep_blank_values=True))
        unknown = sorted(set(options) - {"count", "seed", "split"})
        if unknown:
            raise InvalidInputError(f"Scenes have no option {unknown[0]!r} (in {source!r}); options are count, seed and split.")
        numbers = {}
        for name, default in (("count", 1000), ("seed", 0)):
            text = options.get(name, str(default))
            if not (text.isascii() and text.isdigit() and len(text) <= 18):
                raise InvalidInputError(f"The option {name} of {source!r} must be a whole number, not {text!r}.")
            numbers[name] = int(text)
        return cls(match["kind"], numbers["count"], numbers["seed"], options.get("split", "train"))

    @property
    def source(self) -> str:
        return f"scenes:{self.kind}?count={self.number}&seed={self.seed}&split={self.split}"

    def __len__(self) -> int:
        return self.number

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...
    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self.number))]
        position = index + self.number if index < 0 else index
        if not 0 <= position < self.number:
            raise IndexError(f"scene {index} of {self.number}")
        return Scene(self.kind, self.split, self.seed, position)

    def __iter__(self) -> Iterator[Scene]:
        return (Scene(self.kind, self.split, self.seed, index) for index in range(self.number))

    @property
    def uris(self) -> list[str]:
        return [scene.uri for scene in self]

    @functools.cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        truth = np.zeros((self.number, len(CONCEPTS)), dtype=bool)
        labels, groups = np.full(self.number, -1, dtype=np.int64), np.full(self.number, -1, dtype=np.int64)
        for index, scene in enumerate(self):
            truth[index], labels[index], groups[index] = scene.truth, scene.label, scene.group
        return truth, labels, groups

    @property
    def truth_matrix(self) -> Bool[np.ndarray, "scenes concepts"]:
        return self._known[0]

    @property
    def labels(self) -> Int[np.ndarray, " scenes"]:
        """Index into `class_names`; -1 for free scenes."""
        return self._known[1]

    @property
    def groups(self) -> Int[np.ndarray, " scenes"]:
        """Index into `group_names`; -1 where there are none."""
        return self._known[2]
