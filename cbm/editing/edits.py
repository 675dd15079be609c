"""What can be changed in a concept model: the edits, their scopes, and how a person reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class GlobalScope:
    """Every image, every class."""


@dataclass(frozen=True)
class ClassScope:
    """Every image, but only in the logit of one class."""

    class_name: str


@dataclass(frozen=True)
class ImageScope:
    """One image, every class."""

    item: str


Scope: TypeAlias = GlobalScope | ClassScope | ImageScope


@dataclass(frozen=True)
class AblateConcept:
    """Use 0 in place of the activation, within the scope."""

    concept: int
    name: str
    """The concept's name when the edit was made: what a reader of the recipe sees; the index decides."""
    scope: Scope = field(default_factory=GlobalScope)


@dataclass(frozen=True)
class SetConcept:
    """Use `value` in place of the activation, within the scope, also for images in which the concept is not active."""

    concept: int
    name: str
    value: float
    scope: Scope = field(default_factory=GlobalScope)


@dataclass(frozen=True)
class ScaleConcept:
    """Use `factor` times the activation, within the scope; 1 with `absolute` takes earlier edits of the activation back."""

    concept: int
    name: str
    factor: float
    scope: Scope = field(default_factory=GlobalScope)
    absolute: bool = False
    """True: `factor` times what the bottleneck computed, whatever earlier edits made of it. So a slider stays where it was put."""


@dataclass(frozen=True)
class AblateConcepts:
    """Use 0 in place of the activations of several concepts at once, within the scope: a selection is one edit, and one undo."""

    concepts: tuple[int, ...]
    name: str
    """What the selection was called."""
    scope: Scope = field(default_factory=GlobalScope)


@dataclass(frozen=True)
class SetWeight:
    """Replace the weight of a concept for a class by `value`, for every image."""

    concept: int
    name: str
    class_name: str
    value: float


@dataclass(frozen=True)
class ScaleWeight:
    """Multiply the weight of a concept for a class by `factor`, for every image."""

    concept: int
    name: str
    class_name: str
    factor: float


@dataclass(frozen=True)
class ZeroWeight:
    """Remove a concept from a class: its weight there becomes 0, for every image."""

    concept: int
    name: str
    class_name: str


@dataclass(frozen=True)
class RenameConcept:
    """Show a concept (and those merged with it) under another name. Predictions stay."""

    concept: int
    name: str
    new_name: str


@dataclass(frozen=True)
class MergeConcepts:
    """Show several concepts as one, under one name; the first of them represents all. Predictions stay."""

    concepts: tuple[int, ...]
    names: tuple[str, ...]
    new_name: str


@dataclass(frozen=True)
class HideConcept:
    """Leave a concept out of lists. It still contributes; predictions stay."""

    concept: int
    name: str


@dataclass(frozen=True)
class HideConcepts:
    """Leave several concepts out of lists at once: one edit, and one undo. They still contribute; predictions stay."""

    concepts: tuple[int, ...]
    name: str
    """What they were called together."""


ActivationEdit: TypeAlias = AblateConcept | AblateConcepts | SetConcept | ScaleConcept
WeightEdit: TypeAlias = SetWeight | ScaleWeight | ZeroWeight
NameEdit: TypeAlias = RenameConcept | MergeConcepts | HideConcept | HideConcepts
Edit: TypeAlias = ActivationEdit | WeightEdit | NameEdit


@dataclass(frozen=True)
class Step:
    """One entry of a recipe."""

    edit: Edit
    enabled: bool = True


def describe(edit: Edit) -> str:
    """One line for people, such as: Ablate “water” for class landbird."""
    match edit:
        case AblateConcept():
            return f"Ablate “{edit.name}”{_describe_scope(edit.scope)}"
        case AblateConcepts():
            return f"Ablate {len(edit.concepts):,} concepts, “{edit.name}”{_describe_scope(edit.scope)}"
        case SetConcept():
            return f"Set “{edit.name}” to {edit.value:g}{_describe_scope(edit.scope)}"
        case ScaleConcept(absolute=True):
            return f"Use “{edit.name}” at {edit.factor:g} times its strength{_describe_scope(edit.scope)}"
        case ScaleConcept():
            return f"Scale “{edit.name}” by {edit.factor:g}{_describe_scope(edit.scope)}"
        case SetWeight():
            return f"Set the weight of “{edit.name}” for class {edit.class_name} to {edit.value:g}"
        case ScaleWeight():
            return f"Scale the weight of “{edit.name}” for class {edit.class_name} by {edit.factor:g}"
        case ZeroWeight():
            return f"Remove “{edit.name}” from class {edit.class_name}"
        case RenameConcept():
            return f"Rename “{edit.name}” to “{edit.new_name}”"
        case MergeConcepts():
            return f"Merge {', '.join(f'“{name}”' for name in edit.names)} into “{edit.new_name}”"
        case HideConcept():
            return f"Hide “{edit.name}”"
        case HideConcepts():
            return f"Hide {len(edit.concepts)} concepts: {edit.name}"


def _describe_scope(scope: Scope) -> str:
    match scope:
        case ClassScope():
            return f" for class {scope.class_name}"
        case ImageScope():
            return f" in image {scope.item}"
        case GlobalScope():
            return ""


def concepts_of(edit: Edit) -> tuple[int, ...]:
    """Indices of the concepts that an edit speaks of."""
    return edit.concepts if isinstance(edit, MergeConcepts | AblateConcepts | HideConcepts) else (edit.concept,)


def class_of(edit: Edit) -> str | None:
    """The class that an edit is about, by a weight or by its scope; None for the others."""
    if isinstance(edit, WeightEdit):
        return edit.class_name
    if isinstance(edit, ActivationEdit) and isinstance(edit.scope, ClassScope):
        return edit.scope.class_name
    return None
