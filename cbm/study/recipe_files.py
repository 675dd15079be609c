"""Recipes that come from a file: read, and checked against the model they are to be applied to."""

from __future__ import annotations

import json
from collections.abc import Iterator

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.recipe import Edit, MergeConcepts, Recipe, RenameConcept, concepts_of, describe
from cbm.names.names import same_name_key
from cbm.study.study import Study

LARGEST_RECIPE = 2_000_000
"""Bytes; a recipe of a thousand edits has a tenth of that."""


def read_recipe(data: bytes, study: Study, *, by_name: bool = False) -> Recipe:
    """The recipe in a file, fit for the study's model.

    Args:
        by_name: look every concept up by its name and forget its number, for a recipe that was made for another model.

    Raises:
        InvalidInputError: the file is no recipe, or speaks of classes or concepts that the model does not have.
        MismatchError: its concepts bear other names here, so that it was made for another model.
    """
    if len(data) > LARGEST_RECIPE:
        raise InvalidInputError(
            f"The file has {len(data) / 1e6:.1f} MB; a recipe is a small JSON file. Choose one that was downloaded here."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError("The file is not text. A recipe is a JSON file written by “Download recipe”.") from error
    recipe = Recipe.from_json(_without_numbers(text) if by_name else text, study.model.concepts_named)
    recipe.check(study.concept_count, study.class_names)
    if not by_name:
        _check_names(recipe, study)
    return recipe


def _without_numbers(text: str) -> str:
    """The same recipe with its concepts given by name alone."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text  # the reader says what is wrong with it
    if isinstance(document, dict) and isinstance(document.get("edits"), list):
        for record in document["edits"]:
            if isinstance(record, dict):
                record.pop("concept", None)
                if record.get("edit") == "merge_concepts":
                    record.pop("concepts", None)
    return json.dumps(document)


def _check_names(recipe: Recipe, study: Study) -> None:
    given: dict[int, set[str]] = {}
    for step in recipe.steps:  # names that the recipe itself, or the model's own edits, give
        _note_names(step.edit, given)
    for step in study.model.recipe.steps:
        _note_names(step.edit, given)
    for number, step in enumerate(recipe.steps, start=1):
        for concept, name in _spoken_of(step.edit):
            known = {study.model.concepts.names[concept], study.name(concept, Recipe()), *given.get(concept, ())}
            if same_name_key(name) not in {same_name_key(one) for one in known}:
                raise MismatchError(
                    f"This recipe was made for another model: its edit {number} ({describe(step.edit)}) calls concept {concept} “{name}”, "
                    f"but here that concept is “{study.name(concept, Recipe())}”."
                )


def _note_names(edit: Edit, given: dict[int, set[str]]) -> None:
    if isinstance(edit, RenameConcept | MergeConcepts):
        for concept in concepts_of(edit):
            given.setdefault(concept, set()).add(edit.new_name)


def _spoken_of(edit: Edit) -> Iterator[tuple[int, str]]:
    """(concept, what the edit calls it); a selection has a name of its own."""
    if isinstance(edit, MergeConcepts):
        yield from zip(edit.concepts, edit.names, strict=True)
    elif hasattr(edit, "concept"):
        yield edit.concept, edit.name


def missing_items(recipe: Recipe, study: Study) -> tuple[str, ...]:
    """Images that the recipe names and that are not among the held-out ones: its edits of them show no effect here."""
    return tuple(sorted(recipe.image_items() - set(study.items)))
