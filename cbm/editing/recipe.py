"""Edits to a concept model, and the recipe: an ordered, replayable list of them, with undo and redo as data.

An activation z_k of concept k enters the logit of class c as W[c, k] · z_k. Edits change that product in one of two places, and what
they do at each place never depends on the other:

- activation edits (ablate, set, scale) replace z_k by 0, by a value, by factor · z_k. Several on one concept apply in their order, each to
  what the one before left; an absolute scale starts again from what the bottleneck computed.
- weight edits (set, scale, zero) replace W[c, k] for one class. Several on one weight apply in their order.

The scope of an activation edit says where the replaced activation is used:

- `GlobalScope`: for every image and every class.
- `ClassScope`: for every image, but only where the activation enters the logit of that class; other classes see it as it was.
- `ImageScope`: for every class, but only for the image of that item.

Rename, merge and hide change what is shown, never a prediction. A merge shows several concepts as one whose activation and contribution
are the sums over its members; to ablate a merged concept, ablate its members (`ConceptModel.ablate` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cbm.core.errors import InvalidInputError
from cbm.editing.edits import (
    AblateConcept,
    AblateConcepts,
    ActivationEdit,
    ClassScope,
    Edit,
    GlobalScope,
    HideConcept,
    HideConcepts,
    ImageScope,
    MergeConcepts,
    NameEdit,
    RenameConcept,
    ScaleConcept,
    ScaleWeight,
    Scope,
    SetConcept,
    SetWeight,
    Step,
    WeightEdit,
    ZeroWeight,
    class_of,
    concepts_of,
    describe,
)
from cbm.editing.recipe_json import steps_from_json, steps_to_json

__all__ = [
    "AblateConcept",
    "AblateConcepts",
    "ActivationEdit",
    "ClassScope",
    "Decisions",
    "Edit",
    "GlobalScope",
    "HideConcept",
    "HideConcepts",
    "ImageScope",
    "MergeConcepts",
    "NameEdit",
    "Recipe",
    "RenameConcept",
    "ScaleConcept",
    "ScaleWeight",
    "Scope",
    "SetConcept",
    "SetWeight",
    "Step",
    "WeightEdit",
    "ZeroWeight",
    "class_of",
    "concepts_of",
    "describe",
]


@dataclass(frozen=True)
class Decisions:
    """What the user decided to show: the sum of a recipe's renames, merges and hides."""

    names: Mapping[int, str]
    """New names of concepts; a merged group's name is that of its first member."""
    groups: Mapping[int, tuple[int, ...]]
    """First member of each merged group -> all its members, the first one first."""
    hidden: frozenset[int]

    @property
    def standing_for(self) -> dict[int, int]:
        """Member of a merged group -> the member that is shown for it."""
        return {member: first for first, members in self.groups.items() for member in members}


@dataclass(frozen=True)
class Recipe:
    """An ordered list of edits with a pointer; every method returns a new recipe, nothing changes in place.

    The first `position` steps count as done (those that are enabled are `active`); the steps after it were undone and wait for `redo`.
    """

    steps: tuple[Step, ...] = ()
    position: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.position <= len(self.steps):
            raise InvalidInputError(f"Recipe position {self.position} is outside 0…{len(self.steps)}; it counts the steps that are done.")

    @classmethod
    def of(cls, *edits: Edit) -> Recipe:
        return cls().append(*edits)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def active(self) -> tuple[Edit, ...]:
        """The edits that apply now, in order."""
        return tuple(step.edit for step in self.steps[: self.position] if step.enabled)

    @property
    def changes_predictions(self) -> bool:
        """Whether an active edit does more than change names."""
        return any(not isinstance(edit, NameEdit) for edit in self.active)

    @property
    def prediction_state(self) -> str:
        """The active edits that can change a prediction, as a text to key caches by: equal texts, equal predictions."""
        return repr([edit for edit in self.active if not isinstance(edit, NameEdit)])

    @property
    def can_undo(self) -> bool:
        return self.position > 0

    @property
    def can_redo(self) -> bool:
        return self.position < len(self.steps)

    def append(self, *edits: Edit) -> Recipe:
        """Do more edits; those that were undone before are dropped."""
        steps = self.steps[: self.position] + tuple(Step(edit) for edit in edits)
        return Recipe(steps, len(steps))

    def undo(self) -> Recipe:
        """One step back; at the beginning, the same recipe."""
        return replace(self, position=max(0, self.position - 1))

    def redo(self) -> Recipe:
        """One step forward; at the end, the same recipe."""
        return replace(self, position=min(len(self.steps), self.position + 1))

    def back_to(self, position: int) -> Recipe:
        """The state after the first `position` steps; the later ones wait for `redo`.

        Raises:
            InvalidInputError: there are not so many steps.
        """
        return replace(self, position=position)

    def toggle(self, index: int) -> Recipe:
        """Switch one step off, or on again, without moving the pointer.

        Raises:
            InvalidInputError: no such step.
        """
        if not 0 <= index < len(self.steps):
            raise InvalidInputError(f"Recipe has no step {index}; its {len(self.steps)} steps count from 0.")
        step = self.steps[index]
        return replace(self, steps=(*self.steps[:index], replace(step, enabled=not step.enabled), *self.steps[index + 1 :]))

    def remove(self, index: int) -> Recipe:
        """Without one step, as if it had never been done; to be able to take that back, `toggle` it instead.

        Raises:
            InvalidInputError: no such step.
        """
        if not 0 <= index < len(self.steps):
            raise InvalidInputError(f"Recipe has no step {index}; its {len(self.steps)} steps count from 0.")
        return Recipe((*self.steps[:index], *self.steps[index + 1 :]), self.position - (index < self.position))

    def image_items(self) -> frozenset[str]:
        """Items that active edits at image scope name."""
        scopes = (edit.scope for edit in self.active if isinstance(edit, ActivationEdit))
        return frozenset(scope.item for scope in scopes if isinstance(scope, ImageScope))

    def decisions(self) -> Decisions:
        """What the active renames, merges and hides add up to; a later one wins over an earlier one."""
        names: dict[int, str] = {}
        groups: dict[int, tuple[int, ...]] = {}
        hidden: set[int] = set()
        first_of: dict[int, int] = {}
        for edit in self.active:
            match edit:
                case RenameConcept():
                    names[first_of.get(edit.concept, edit.concept)] = edit.new_name
                case HideConcept():
                    hidden.add(edit.concept)
                case HideConcepts():
                    hidden.update(edit.concepts)
                case MergeConcepts():
                    members = _joined_members(edit.concepts, groups, first_of)
                    for member in members:
                        groups.pop(member, None)
                        names.pop(member, None)
                        first_of[member] = members[0]
                    groups[members[0]] = members
                    names[members[0]] = edit.new_name
        return Decisions(names, groups, frozenset(hidden))

    def check(self, size: int, classes: Sequence[str]) -> None:
        """Make sure that every step speaks of concepts below `size` and of known classes, whether or not it is active.

        Raises:
            InvalidInputError: names the step and the field.
        """
        for index, step in enumerate(self.steps):
            edit = step.edit
            for concept in concepts_of(edit):
                if not 0 <= concept < size:
                    raise InvalidInputError(
                        f"Recipe edit {index} ({describe(edit)}): field concept is {concept}, but the model has {size} concepts, 0 to "
                        f"{size - 1}. Was the recipe made for another dictionary?"
                    )
            class_name = class_of(edit)
            if class_name is not None and class_name not in classes:
                raise InvalidInputError(
                    f"Recipe edit {index} ({describe(edit)}): field class_name is {class_name!r}, which is not a class of the model. "
                    f"Its classes: {', '.join(classes[:10])}{' …' if len(classes) > 10 else ''}."
                )

    def to_json(self) -> str:
        """The recipe as a JSON object; `Recipe.from_json` gives an equal recipe back."""
        return steps_to_json(self.steps, self.position)

    @classmethod
    def from_json(cls, text: str, find_concepts: Callable[[str], Sequence[int]] | None = None) -> Recipe:
        """Read a recipe.

        Args:
            text: what `to_json` writes. An edit written by hand may leave out `concept`, and then applies to every concept of its `name`.
            find_concepts: name -> indices of the concepts called so (`ConceptModel.concepts_named`); needed for such edits only.

        Raises:
            InvalidInputError: the message names the edit and the field.
        """
        return cls(*steps_from_json(text, find_concepts))


def _joined_members(concepts: Iterable[int], groups: Mapping[int, tuple[int, ...]], first_of: Mapping[int, int]) -> tuple[int, ...]:
    members: dict[int, None] = {}
    for concept in concepts:
        members |= dict.fromkeys(groups.get(first_of.get(concept, concept), (concept,)))
    return tuple(members)
