"""What the pages hand to the components: plain values, made by `cbm.study.study` and drawn by the rest of `cbm.ui`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureTile:
    """One image of a gallery."""

    row: int
    """Row of the embedding set that the image comes from."""
    uri: str
    title: str
    """One short line under the picture."""
    alt: str
    correct: bool | None = None
    """Whether the model gets the image right; None where that is not the question."""


@dataclass(frozen=True)
class ConceptTile:
    """One concept of the gallery."""

    index: int
    name: str
    named: bool
    """False when no candidate name was good enough; `name` is then a stand-in such as "unnamed 17"."""
    frequency: float
    """Share of the images on which the concept fires, 0 to 1."""
    name_score: float
    """Score of the first candidate name, in the unit of the naming rule."""
    predictiveness: float
    """Mean over images and classes of |contribution|, in logits."""
    top_class: str | None
    """The class whose logit the concept raises most; None where it raises none."""
    uris: tuple[str, ...]
    """Images on which the concept is strongest, strongest first."""
    hidden: bool = False
    renamed_from: str | None = None
    used: bool = True
    """Whether any class has a weight for it, be it a negative one."""


@dataclass(frozen=True)
class Bar:
    """One concept's contribution to a logit."""

    index: int
    name: str
    value: float
    """Contribution in logits."""
    activation: float
    share: float
    """Share of all contributions by size, 0 to 1."""
    edited: bool = False
    """Whether an edit that is in force changes this contribution."""


@dataclass(frozen=True)
class PredictionView:
    """What the model says about one image, before and after the edits."""

    row: int
    item: str
    uri: str
    truth: str | None
    group: str | None
    predicted_before: str
    predicted_after: str
    probabilities: tuple[tuple[str, float, float], ...]
    """(class, before, after) of the classes worth showing, most probable after the edits first."""
    target: str
    """The class whose logit the bars explain."""
    bars: tuple[Bar, ...]
    """Contributions after the edits, largest first; concepts that the edits silenced stay with the value 0."""
    rest: float
    """Sum of the contributions that have no bar of their own, in logits."""
    bias: float
    logit: float
    active: tuple[tuple[int, str], ...]
    """Index and name of every concept that the image has, those of the bars first: what can be changed."""

    @property
    def correct_after(self) -> bool | None:
        return None if self.truth is None else self.predicted_after == self.truth


@dataclass(frozen=True)
class EffectView:
    """What the edits in force do to the held-out images."""

    images: int
    accuracy_before: float
    accuracy_after: float
    worst_group_before: float | None
    worst_group_after: float | None
    worst_group: str | None
    """Name of the worst group after the edits."""
    corrected_count: int
    newly_wrong_count: int
    corrected: tuple[PictureTile, ...]
    """Some of them, for the eye."""
    newly_wrong: tuple[PictureTile, ...]
    moved: tuple[tuple[str, float, float], ...]
    """(class or group, accuracy before, after) of those that moved, most first."""


@dataclass(frozen=True)
class EditLine:
    """One edit of the recipe as a person reads it."""

    position: int
    text: str
    icon: str
    enabled: bool
    measured: bool
    """False for renames and hides, which change no prediction."""


@dataclass(frozen=True)
class Headline:
    """One figure of the start page."""

    label: str
    value: str
    help: str
    delta: str | None = None
    """A change, with its sign first, or a comparison in words."""
