"""One concept beside the images: what it is called, what it fires on, what it does to the classes."""

from __future__ import annotations

from dataclasses import dataclass, field

from cbm.study.evidence import Firing, Known


@dataclass(frozen=True)
class ConceptSummary:
    """One concept in a list, or several that were merged."""

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
    """Images on which the concept is strongest, strongest first; empty unless asked for."""
    hidden: bool = False
    renamed_from: str | None = None
    used: bool = True
    """Whether any class has a weight for it, be it a negative one."""
    members: tuple[int, ...] = ()
    """The concepts that it represents since a merge, itself first; empty when it is one concept."""


@dataclass(frozen=True)
class ImageActivation:
    """An image on which a concept fires."""

    row: int
    item: str
    uri: str
    activation: float


@dataclass(frozen=True, eq=False)
class ConceptView:
    """Everything about one concept."""

    summary: ConceptSummary
    """The concept as the recipe shows it."""
    asked: int
    """The concept that was asked for; it may be merged into another."""
    fired: Firing
    names: tuple[tuple[int, str], ...]
    """Number and name of every member of a merged concept; one entry otherwise."""
    candidates: tuple[tuple[str, float], ...]
    """Names that the vocabulary offered, with their scores, best first."""
    class_weights: tuple[tuple[str, float], ...]
    """(class, weight) of the classes that use it, largest |weight| first."""
    known: tuple[Known, ...]
    """Best agreeing known concepts, best first; empty when the images have no known concepts."""
    before: int | None
    """The concept before it in the list, and the one after it."""
    after: int | None
    items: tuple[str, ...] = field(repr=False)
    """Names of all held-out images, and where their pictures are."""
    uris: tuple[str, ...] = field(repr=False)

    @property
    def name(self) -> str:
        return self.summary.name

    @property
    def merged(self) -> bool:
        return len(self.names) > 1

    def top_images(self, count: int = 6) -> tuple[ImageActivation, ...]:
        """The images on which the concept fires most, the strongest first."""
        return tuple(
            ImageActivation(row, self.items[row], self.uris[row], value)
            for row, value in zip(self.fired.rows[:count].tolist(), self.fired.values[:count].tolist(), strict=True)
        )
