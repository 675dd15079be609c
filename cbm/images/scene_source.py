"""The known-answer world as a source of images: every record carries its truth."""

from __future__ import annotations

import io
from collections.abc import Iterator

from cbm.images.records import ImageRecord, KnownConcepts, Rejected
from cbm.images.scenes import CONCEPTS, Scene, Scenes

SCENE_SIZE = 128
"""Pixels a side of the file that represents a scene; fixed, because its bytes are what the embedding store knows it by."""


def scene_file(scene: Scene) -> bytes:
    """The PNG that represents a scene; the same bytes every time."""
    buffer = io.BytesIO()
    scene.draw(SCENE_SIZE).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class SceneSource:
    """Scenes of the known-answer world, e.g. `scenes:classes?count=4000&seed=0&split=train`.

    Raises:
        InvalidInputError: the URI is malformed.
    """

    kind = "scenes"
    notes: tuple[str, ...] = ()

    def __init__(self, source: str) -> None:
        self.scenes = Scenes.from_source(source)
        self.name = self.scenes.source
        self.concept_names = tuple(concept.name for concept in CONCEPTS)
        self._positions = {name: position for position, name in enumerate(self.concept_names)}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """All classes in the world's order, so that train and test number them alike; None where scenes have no label."""
        return tuple(self.scenes.class_names) or None

    @property
    def group_names(self) -> tuple[str, ...] | None:
        """All groups in the world's order, for the same reason."""
        return tuple(self.scenes.group_names) or None

    def __len__(self) -> int:
        return len(self.scenes)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return (self._record(scene) for scene in self.scenes)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        for scene in self.scenes:
            yield self._record(scene), scene_file(scene)

    def _record(self, scene: Scene) -> ImageRecord:
        return ImageRecord(
            item=scene.uri,
            uri=scene.uri,
            label=self.scenes.class_names[scene.label] if scene.label >= 0 else None,
            group=self.scenes.group_names[scene.group] if scene.group >= 0 else None,
            split=scene.split,
            concepts=KnownConcepts(self._positions, scene.truth.tobytes()),
        )
