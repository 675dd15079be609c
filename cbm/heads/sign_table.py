"""Tables of signs: whether a concept supports a class (+1), counts against it (-1) or has nothing to do with it (0)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from cbm.core.errors import InvalidInputError

SIGNS = (-1, 0, 1)
_SHAPE = 'Give a .csv with a row for each class and a column for each concept, or a .json such as {"zebra": {"striped": 1}}'


def read_signs(given: str | Path | Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """class -> concept -> sign, from a .csv or .json file, JSON text, or a mapping that is one already. Empty cells are left out.

    Raises:
        InvalidInputError: no such file, or not a table of -1, 0 and 1.
    """
    if isinstance(given, Mapping):
        return _checked(given)
    if str(given).lstrip().startswith("{"):
        return _checked(_from_json(str(given)))
    path = Path(given)
    # Nothing else is opened: a path may come from a web form.
    if path.suffix.casefold() not in (".csv", ".json"):
        raise InvalidInputError(f"{str(given)!r} is not a table of signs. {_SHAPE}.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The table of signs {path} cannot be read ({error}). {_SHAPE}.") from error
    return _checked(_from_json(text) if path.suffix.casefold() == ".json" else _from_csv(text))


def as_text(signs: Mapping[str, Mapping[str, int]]) -> str:
    """The table as JSON text: the same for the same signs, in whatever order they came."""
    return json.dumps(signs, sort_keys=True, ensure_ascii=False)


def sign_matrix(
    signs: Mapping[str, Mapping[str, int]], classes: Sequence[str], concepts: Sequence[str]
) -> Float32[np.ndarray, "classes concepts"]:
    """Signs by class and concept; NaN where the table says nothing. A name that several concepts have means all of them.

    Names agree whatever their case, and whether they are written with spaces or underscores.

    Raises:
        InvalidInputError: a class or a concept of the table is not among these.
    """
    class_rows, concept_rows = _by_name(classes), _by_name(concepts)
    _require("class", signs, class_rows, classes)
    _require("concept", dict.fromkeys(concept for row in signs.values() for concept in row), concept_rows, concepts)
    matrix = np.full((len(classes), len(concepts)), np.nan, np.float32)
    for name, row in signs.items():
        for concept, sign in row.items():
            matrix[np.ix_(class_rows[_key(name)], concept_rows[_key(concept)])] = sign
    return matrix


def _from_json(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"The table of signs is not valid JSON ({error}). {_SHAPE}.") from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"The table of signs is not an object of classes. {_SHAPE}.")
    return found


def _from_csv(text: str) -> Mapping[str, Mapping[str, str]]:
    lines = [line for line in csv.reader(io.StringIO(text)) if any(cell.strip() for cell in line)]
    if len(lines) < 2 or len(lines[0]) < 2:
        raise InvalidInputError(f"The table of signs has no classes or no concepts. {_SHAPE}; the first row names the concepts.")
    concepts = [name.strip() for name in lines[0][1:]]
    found: dict[str, Mapping[str, str]] = {}
    for line in lines[1:]:
        if line[0].strip() in found:
            raise InvalidInputError(f"The table of signs has two rows for {line[0].strip()!r}; join them.")
        found[line[0].strip()] = {concept: cell for concept, cell in zip(concepts, line[1:], strict=False) if cell.strip()}
    return found


def _checked(table: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    checked: dict[str, dict[str, int]] = {}
    for name, row in table.items():
        if not isinstance(row, Mapping):
            raise InvalidInputError(f"The table of signs gives no concepts for {name!r}. {_SHAPE}.")
        checked[str(name)] = {str(concept): _sign(sign, str(name), str(concept)) for concept, sign in row.items()}
    if not any(checked.values()):
        raise InvalidInputError(f"The table of signs is empty. {_SHAPE}.")
    return checked


def _sign(value: Any, name: str, concept: str) -> int:
    try:
        number = float(str(value).strip())
    except ValueError:
        number = np.nan
    if number not in SIGNS:
        raise InvalidInputError(f"The sign of {concept!r} for {name!r} is {value!r}; it must be -1, 0 or 1, or left out.")
    return int(number)


def _key(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _by_name(names: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        found.setdefault(_key(name), []).append(row)
    return found


def _require(what: str, named: Mapping[str, Any], known: Mapping[str, list[int]], names: Sequence[str]) -> None:
    unknown = [name for name in named if _key(name) not in known]
    if unknown:
        some = ", ".join(repr(name) for name in unknown[:3]) + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else "")
        examples = ", ".join(repr(name) for name in names[:3])
        raise InvalidInputError(f"The table of signs names {some}: there is no such {what}. Correct or remove it; there are {examples}, ….")
