"""The steps of a recipe as JSON: written in one way, read with every field checked. `Recipe.to_json` and `from_json` use it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from cbm.core.errors import InvalidInputError
from cbm.editing import edits as kinds
from cbm.editing.edits import AblateConcepts, ClassScope, Edit, GlobalScope, HideConcepts, ImageScope, MergeConcepts, Scope, Step

SCHEMA_VERSION = 1
LARGEST_NUMBER = 1e9
"""Values and factors beyond this are typing errors, and their products would overflow."""

_EDIT_TYPES: dict[str, type] = {
    "ablate_concept": kinds.AblateConcept,
    "ablate_concepts": kinds.AblateConcepts,
    "set_concept": kinds.SetConcept,
    "scale_concept": kinds.ScaleConcept,
    "set_weight": kinds.SetWeight,
    "scale_weight": kinds.ScaleWeight,
    "zero_weight": kinds.ZeroWeight,
    "rename_concept": kinds.RenameConcept,
    "merge_concepts": kinds.MergeConcepts,
    "hide_concept": kinds.HideConcept,
    "hide_concepts": kinds.HideConcepts,
}
_EDIT_NAMES = {edit_type: name for name, edit_type in _EDIT_TYPES.items()}


def steps_to_json(steps: Sequence[Step], position: int) -> str:
    """The document: the steps in order, and how many of them count as done."""
    records = [{"edit": _EDIT_NAMES[type(step.edit)], "enabled": step.enabled, **_edit_fields(step.edit)} for step in steps]
    return json.dumps({"schema": SCHEMA_VERSION, "position": position, "edits": records}, indent=2, ensure_ascii=False) + "\n"


def steps_from_json(text: str, find_concepts: Callable[[str], Sequence[int]] | None = None) -> tuple[tuple[Step, ...], int]:
    """Read what `steps_to_json` wrote, or what a person wrote by hand: the steps, and how many are done; see `Recipe.from_json`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"The recipe is not JSON ({error}).") from error
    if not isinstance(document, dict) or not isinstance(document.get("edits"), list):
        raise InvalidInputError('The recipe must be a JSON object with a list "edits"; see a recipe.json of an exported model.')
    schema = document.get("schema", SCHEMA_VERSION)
    if schema != SCHEMA_VERSION:
        raise InvalidInputError(
            f"The recipe has schema {schema!r}; this version reads {SCHEMA_VERSION}. Update, or write the recipe again."
        )
    _refuse_unknown(document, {"schema", "position", "edits"}, "The recipe")
    position = document.get("position", len(document["edits"]))
    if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position <= len(document["edits"]):
        raise InvalidInputError(
            f"The recipe's position is {position!r}; it must be the number of edits in effect, 0 to {len(document['edits'])}."
        )
    steps: list[Step] = []
    done = 0
    for index, record in enumerate(document["edits"]):
        steps += _read_steps(index, record, find_concepts)
        if index + 1 == position:
            done = len(steps)
    return tuple(steps), done


def _edit_fields(edit: Edit) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for entry in fields(edit):
        value = getattr(edit, entry.name)
        if entry.name == "scope":
            record["scope"] = _scope_record(value)
        else:
            record[entry.name] = list(value) if isinstance(value, tuple) else value
    return record


def _scope_record(scope: Scope) -> dict[str, str]:
    match scope:
        case GlobalScope():
            return {"kind": "global"}
        case ClassScope():
            return {"kind": "class", "class_name": scope.class_name}
        case ImageScope():
            return {"kind": "image", "item": scope.item}


def _read_steps(index: int, record: Any, find_concepts: Callable[[str], Sequence[int]] | None) -> list[Step]:
    """The step of one JSON record, or one step per concept where the record names concepts without their index."""
    where = f"Recipe edit {index}"
    if not isinstance(record, dict):
        raise InvalidInputError(f"{where} is {record!r}; it must be an object with a field edit.")
    edit_type = _EDIT_TYPES.get(record["edit"]) if isinstance(record.get("edit"), str) else None
    if edit_type is None:
        raise InvalidInputError(f"{where}: field edit is {record.get('edit')!r}; it must be one of {', '.join(_EDIT_TYPES)}.")
    where = f"{where} ({record['edit']})"
    names = {entry.name for entry in fields(edit_type)}
    _refuse_unknown(record, names | {"edit", "enabled"}, where)
    enabled = _read_flag(record, "enabled", where, True)
    if edit_type is MergeConcepts:
        return [Step(_read_merge(record, where, find_concepts), enabled)]
    if edit_type in (AblateConcepts, HideConcepts):
        return [Step(_read_selection(record, edit_type, where), enabled)]
    name = _read_text(record, "name", where)
    found = [_read_index(record["concept"], "concept", where)] if "concept" in record else _find(name, "name", where, find_concepts)
    values: dict[str, Any] = {}
    for field_name in names - {"concept", "name"}:
        if field_name == "scope":
            values["scope"] = _read_scope(record.get("scope", {"kind": "global"}), where)
        elif field_name in ("value", "factor"):
            values[field_name] = _read_number(record, field_name, where)
        elif field_name == "absolute":
            values[field_name] = _read_flag(record, field_name, where, False)
        else:
            values[field_name] = _read_text(record, field_name, where)
    return [Step(edit_type(concept=concept, name=name, **values), enabled) for concept in found]


def _read_merge(record: Mapping[str, Any], where: str, find_concepts: Callable[[str], Sequence[int]] | None) -> MergeConcepts:
    names = record.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidInputError(f"{where}: field names is {names!r}; it must be a list of names.")
    if "concepts" in record:
        if not isinstance(record["concepts"], list):
            raise InvalidInputError(f"{where}: field concepts is {record['concepts']!r}; it must be a list of indices.")
        concepts = [_read_index(concept, "concepts", where) for concept in record["concepts"]]
        if len(names) != len(concepts):
            raise InvalidInputError(f"{where}: field names has {len(names)} entries, concepts has {len(concepts)}; give one name each.")
    else:
        pairs = [(concept, name) for name in names for concept in _find(name, "names", where, find_concepts)]
        concepts, names = [concept for concept, _ in pairs], [name for _, name in pairs]
    if len(set(concepts)) < 2 or len(set(concepts)) < len(concepts):
        raise InvalidInputError(f"{where}: field concepts is {concepts}; a merge needs two or more different concepts.")
    return MergeConcepts(tuple(concepts), tuple(names), _read_text(record, "new_name", where))


def _read_selection(record: Mapping[str, Any], edit_type: type, where: str) -> AblateConcepts | HideConcepts:
    concepts = record.get("concepts")
    if not isinstance(concepts, list) or not concepts:
        raise InvalidInputError(f"{where}: field concepts is {concepts!r}; it must be a list of indices.")
    read = tuple(_read_index(concept, "concepts", where) for concept in concepts)
    name = _read_text(record, "name", where)
    if edit_type is HideConcepts:
        return HideConcepts(read, name)
    return AblateConcepts(read, name, _read_scope(record.get("scope", {"kind": "global"}), where))


def _read_scope(scope: Any, where: str) -> Scope:
    kind = scope.get("kind") if isinstance(scope, dict) else None
    if kind == "global":
        _refuse_unknown(scope, {"kind"}, f"{where}: field scope")
        return GlobalScope()
    if kind == "class":
        _refuse_unknown(scope, {"kind", "class_name"}, f"{where}: field scope")
        return ClassScope(_read_text(scope, "class_name", f"{where}: field scope"))
    if kind == "image":
        _refuse_unknown(scope, {"kind", "item"}, f"{where}: field scope")
        return ImageScope(_read_text(scope, "item", f"{where}: field scope"))
    raise InvalidInputError(
        f'{where}: field scope is {scope!r}; its kind must be "global", "class" (with class_name) or "image" (with item).'
    )


def _read_text(record: Mapping[str, Any], field_name: str, where: str) -> str:
    value = record.get(field_name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{where}: field {field_name} is {value!r}; it must be a text.")
    return value


def _read_flag(record: Mapping[str, Any], field_name: str, where: str, default: bool) -> bool:
    value = record.get(field_name, default)
    if not isinstance(value, bool):
        raise InvalidInputError(f"{where}: field {field_name} is {value!r}; it must be true or false.")
    return value


def _read_number(record: Mapping[str, Any], field_name: str, where: str) -> float:
    value = record.get(field_name)
    # The comparison is false for NaN, and holds whole numbers of any length.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise InvalidInputError(f"{where}: field {field_name} is {value!r}; it must be a number of at most {LARGEST_NUMBER:g} in size.")
    return float(value)


def _read_index(value: Any, field_name: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInputError(f"{where}: field {field_name} is {value!r}; it must be a concept's index, 0 or more.")
    return value


def _find(name: str, field_name: str, where: str, find_concepts: Callable[[str], Sequence[int]] | None) -> list[int]:
    if find_concepts is None:
        raise InvalidInputError(f"{where}: field concept is missing, and concepts cannot be looked up by name here; give the index.")
    found = [int(concept) for concept in find_concepts(name)]
    if not found:
        raise InvalidInputError(f"{where}: field {field_name} is {name!r}, but the model has no concept of that name.")
    return found


def _refuse_unknown(record: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(record) - known)
    if unknown:
        raise InvalidInputError(f"{where}: unknown field {unknown[0]}; known are {', '.join(sorted(known))}.")
