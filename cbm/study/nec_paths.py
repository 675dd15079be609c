"""Accuracy against the number of effective concepts, as recorded: a model's path beside its baselines, or two models' paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["model", "other", "random"]
LEVELS = ("linear probe", "dense head", "zero-shot")
"""Baselines without a number of concepts."""


@dataclass(frozen=True)
class NecSeries:
    """One head's path."""

    name: str
    points: tuple[tuple[float, float], ...]
    """(NEC, accuracy), rising in NEC; those that were not reached are left out."""
    role: Role = "model"


@dataclass(frozen=True)
class NecLevel:
    """A classifier without a number of concepts, such as the linear probe."""

    name: str
    accuracy: float
    kind: str
    """`linear probe`, `dense head` or `zero-shot`: decides the colour."""


@dataclass(frozen=True)
class NecMark:
    """Where a model is: a ring on the chart."""

    name: str
    nec: float
    accuracy: float
    role: Role = "model"


@dataclass(frozen=True)
class NecView:
    """All that one chart shows."""

    series: tuple[NecSeries, ...]
    levels: tuple[NecLevel, ...] = ()
    marks: tuple[NecMark, ...] = ()

    @property
    def empty(self) -> bool:
        return not any(entry.points for entry in self.series)

    @property
    def sentence(self) -> str:
        """The chart in words, for those who do not see it."""
        lines = [
            f"{entry.name}: {entry.points[0][1]:.1%} at {entry.points[0][0]:.0f} concepts per class, "
            f"{entry.points[-1][1]:.1%} at {entry.points[-1][0]:.0f}"
            for entry in self.series
            if entry.points
        ]
        return "Accuracy against concepts per class. " + "; ".join([*lines, *(f"{x.name} {x.accuracy:.1%}" for x in self.levels)])


def path_of(record: object) -> tuple[tuple[float, float], ...]:
    """The points of a recorded path that were reached, by rising NEC."""
    if not isinstance(record, list):
        return ()
    reached = [(float(point["nec"]), float(point["accuracy"])) for point in record if point.get("accuracy") is not None]
    return tuple(sorted(reached))


def levels_of(metrics: Mapping[str, Any], suffix: str = "", kinds: Sequence[str] = LEVELS) -> tuple[NecLevel, ...]:
    """The reference levels among a model's recorded figures; what was not measured is left out."""
    keys = {"linear probe": "linear_probe", "dense head": "dense", "zero-shot": "zero_shot"}
    values = {kind: metrics.get(keys[kind]) for kind in kinds}
    return tuple(
        NecLevel(f"{kind}{suffix}", float(value), kind)
        for kind, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    )


def nec_view(metrics: Mapping[str, Any], nec: float, accuracy: float | None, *, edited: bool) -> NecView:
    """The recorded path and baselines of a model, with a ring where it is.

    Args:
        accuracy: as it is now, the visitor's edits in force; None where it cannot be measured.
    """
    series = [NecSeries("named concepts", path_of(metrics.get("nec_path")))]
    series.append(NecSeries("random directions", path_of(metrics.get("random_concepts")), "random"))
    marks = () if accuracy is None else (NecMark("this model with your edits" if edited else "this model", nec, accuracy),)
    kept = tuple(entry for entry in series if entry.points)
    last = max((entry.points[-1][0] for entry in kept), default=nec)
    # A dense head uses every concept: its ring would be far off the path, so the level alone tells its accuracy.
    return NecView(kept, levels_of(metrics), marks if nec <= last * 1.5 else ())


def _levels(metrics: tuple[Mapping[str, Any], Mapping[str, Any]], kind: str) -> list[NecLevel]:
    """One baseline of both models: a single line where they agree as far as the chart can tell."""
    levels = [levels_of(record, kinds=(kind,)) for record in metrics]
    values = {round(level.accuracy, 3) for side in levels for level in side}
    if len(values) == 1:
        return [NecLevel(kind, values.pop(), kind)]
    if kind != "linear probe":
        return []  # Two more lines would say little here, and crowd the curves.
    return [NecLevel(f"{level.name} {letter}", level.accuracy, kind) for letter, side in zip("AB", levels, strict=True) for level in side]


def compared_nec_view(
    metrics: tuple[Mapping[str, Any], Mapping[str, Any]], necs: tuple[float, float], accuracies: tuple[float | None, float | None]
) -> NecView:
    """Both recorded paths on one chart; equal ones are drawn once, and so are equal baselines.

    Args:
        accuracies: of both models on the images that they have in common; None without labels.
    """
    paths = [path_of(record.get("nec_path")) for record in metrics]
    if paths[0] and paths[0] == paths[1]:
        series = [NecSeries("A and B", paths[0])]
    else:
        series = [NecSeries("A", paths[0]), NecSeries("B", paths[1], "other")]
    randoms = list(dict.fromkeys(path_of(record.get("random_concepts")) for record in metrics))
    series += [NecSeries("random directions", points, "random") for points in randoms[:1] if len(randoms) == 1]
    kept = tuple(entry for entry in series if entry.points)
    shown = tuple(level for kind in ("linear probe", "dense head") for level in _levels(metrics, kind))
    last = max((entry.points[-1][0] for entry in kept), default=0.0)
    roles: tuple[Role, Role] = ("model", "other")
    marks = tuple(
        NecMark(f"{letter}, on the images in common", nec, accuracy, role)
        for letter, nec, accuracy, role in zip("AB", necs, accuracies, roles, strict=True)
        if accuracy is not None and nec <= max(last * 1.5, 1.0)
    )
    return NecView(kept, shown, marks)
