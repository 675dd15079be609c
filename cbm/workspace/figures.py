"""What was measured when an artefact was made: one frozen class for each kind. What an artefact did not record is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from cbm.workspace.rows import ChosenRows


@dataclass(frozen=True)
class Figures:
    """Base of all figures."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        """The figures in what an artefact recorded; anything else in there is left out."""
        return cls(**{field.name: record[field.name] for field in fields(cls) if field.name in record})


@dataclass(frozen=True)
class EmbeddingsFigures(Figures):
    count: int | None = None
    dim: int | None = None
    classes: int | None = None
    rejected: int | None = None
    """Files that were turned away."""
    pictures: int | None = None
    """Of imported vectors: how many have a picture."""


@dataclass(frozen=True)
class VocabularyFigures(Figures):
    count: int | None = None
    dim: int | None = None


@dataclass(frozen=True)
class Reconstruction(Figures):
    """How well a dictionary reconstructs embeddings; see `cbm.metrics.reconstruction` for the formulas."""

    fvu: float
    cosine_centred: float
    l0_mean: float
    dead: float
    cosine_raw: float | None = None
    l0_p5: float | None = None
    l0_p50: float | None = None
    l0_p95: float | None = None
    window: int | None = None
    dense: float | None = None
    density_histogram: Sequence[int] = ()
    size: int | None = None


@dataclass(frozen=True)
class DictionaryFigures(Figures):
    reconstruction: Reconstruction | None = None
    """On the rows that were held out."""
    everything: Reconstruction | None = None
    """On all rows."""
    baselines: Mapping[str, Reconstruction] | None = None
    """Simpler dictionaries on the rows that were held out."""
    dead: float | None = None
    images: int | None = None
    held_out: int | None = None
    samples_per_second: float | None = None
    seconds: float | None = None
    method: Mapping[str, float] | None = None
    """What a method with named concepts says of itself."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        parts: dict[str, Any] = {name: Reconstruction.read(record[name]) for name in ("reconstruction", "everything") if name in record}
        if "baselines" in record:
            parts["baselines"] = {name: Reconstruction.read(row) for name, row in record["baselines"].items()}
        return super().read({**record, **parts})


@dataclass(frozen=True)
class ConceptsFigures(Figures):
    named: int | None = None
    unique: int | None = None
    """Different names among them."""
    mean_score: float | None = None
    hubs: int | None = None
    threshold: float | None = None
    active: float | None = None
    """Mean number of concepts that are active per image, where that was measured."""


@dataclass(frozen=True)
class PathFigures(Figures):
    """One point of a path over numbers of effective concepts."""

    nec: float
    reached: bool
    accuracy: float | None


@dataclass(frozen=True)
class ModelFigures(Figures):
    accuracy: float | None = None
    nec: float | None = None
    nec_path: tuple[PathFigures, ...] = ()
    dense: float | None = None
    linear_probe: float | None = None
    zero_shot: float | None = None
    random_concepts: tuple[PathFigures, ...] = ()
    worst_group: float | None = None
    effect: Mapping[str, Any] | None = None
    """Of an edited model: what the edits changed, as `cbm.editing.effect` records it."""
    measured_elsewhere: ChosenRows | None = None
    """Of a loaded bundle: the images that its figures are from, where they are not those that it is shown with."""

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Self:
        paths: dict[str, Any] = {
            name: tuple(PathFigures.read(point) for point in record[name]) for name in ("nec_path", "random_concepts") if name in record
        }
        if record.get("measured_elsewhere") is not None:
            paths["measured_elsewhere"] = ChosenRows.from_json(record["measured_elsewhere"])
        return super().read({**record, **paths})
