"""Reading vectors that others computed: npz, Parquet, and the folders that clip-retrieval writes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cbm.core.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    import pyarrow

_NPZ_NAMES = {"file": ("files", "paths", "items"), "label": ("labels",), "group": ("groups",), "split": ("splits",)}
_TABLE_NAMES = {
    "file": ("file", "path", "item", "image_path", "filename", "files", "uri", "image", "url"),
    "label": ("label", "class", "labels", "class_name"),
    "group": ("group", "groups"),
    "split": ("split", "splits"),
}
_EMBEDDING_NAMES = ("embedding", "embeddings", "image_embedding", "img_emb", "vector")
_ROWS_AT_ONCE = 65536


@dataclass(frozen=True)
class ForeignVectors:
    """Vectors with whatever was said about their items."""

    count: int
    dim: int
    chunks: Callable[[], Iterator[np.ndarray]]
    """Every call goes through all rows, a chunk at a time."""
    columns: Mapping[str, Sequence[Any]]
    """Those of file, label, group and split that were there; labels are names or numbers."""
    concepts: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Boolean columns of a table."""


def read_foreign(source: Path) -> ForeignVectors:
    """The vectors in an .npz, a .parquet, or a clip-retrieval folder (`img_emb/img_emb_*.npy`, `metadata/metadata_*.parquet`).

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is none of these, malformed, or pickled.
    """
    if not source.exists():
        raise NotFoundError(f"There is no {source}; give an .npz, a .parquet, or a clip-retrieval folder.")
    if source.is_dir():
        return _read_clip_retrieval(source)
    if source.suffix == ".npz":
        return _read_npz(source)
    if source.suffix in (".parquet", ".pq"):
        return _read_parquet(source)
    raise InvalidInputError(
        f"{source} is not a file of vectors that can be imported; give an .npz, a .parquet, or a clip-retrieval folder."
    )


def _read_npz(path: Path) -> ForeignVectors:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise InvalidInputError(f"{path} cannot be read ({error}). {_pickled_hint(error)}") from error
    if "embeddings" not in arrays:
        raise InvalidInputError(f"{path} lacks the array `embeddings`; it holds {', '.join(arrays) or 'nothing'}.")
    matrix = _matrix(arrays["embeddings"], path)
    columns = {}
    for meaning, names in _NPZ_NAMES.items():
        name = next((name for name in names if name in arrays), None)
        if name is not None:
            _check_length(len(np.atleast_1d(arrays[name])), len(matrix), f"`{name}`", path)
            columns[meaning] = np.atleast_1d(arrays[name]).tolist()
    return ForeignVectors(len(matrix), matrix.shape[1], lambda: _slices(matrix), columns)


def _pickled_hint(error: BaseException) -> str:
    if "allow_pickle" in str(error) or "pickled" in str(error):
        return "It holds pickled Python objects, which are never loaded; save names as a plain string array, `np.array(names, dtype=str)`."
    return "It is damaged; make it again."


def _read_parquet(path: Path) -> ForeignVectors:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInputError(f"{path} is not a readable Parquet file ({error}).") from error
    name = _embedding_column(table, path)
    matrix = _matrix(_list_column(table.column(name), name, path), path)
    columns, concepts = _described(table.drop_columns([name]), path)
    return ForeignVectors(len(matrix), matrix.shape[1], lambda: _slices(matrix), columns, concepts)


def _embedding_column(table: pyarrow.Table, path: Path) -> str:
    import pyarrow

    lists = [
        field.name
        for field in table.schema
        if (pyarrow.types.is_list(field.type) or pyarrow.types.is_large_list(field.type) or pyarrow.types.is_fixed_size_list(field.type))
        and pyarrow.types.is_floating(field.type.value_type)
    ]
    named = [name for name in _EMBEDDING_NAMES if name in lists]
    if named:
        return named[0]
    if len(lists) != 1:
        raise InvalidInputError(
            f"{path} should have one column of float lists called embedding; it has {', '.join(lists) if lists else 'none'} "
            f"among {', '.join(table.column_names)}."
        )
    return lists[0]


def _list_column(column: pyarrow.ChunkedArray, name: str, path: Path) -> np.ndarray:
    import pyarrow
    import pyarrow.compute

    if column.null_count:
        raise InvalidInputError(f"{path}: {column.null_count} rows of {name} are empty; remove them.")
    lengths = pyarrow.compute.unique(pyarrow.compute.list_value_length(column)).to_pylist()
    if len(lengths) > 1:
        raise InvalidInputError(f"{path}: the vectors in {name} differ in length ({', '.join(map(str, sorted(lengths)[:4]))}).")
    values = pyarrow.compute.list_flatten(column)
    return np.asarray(values.to_numpy()).reshape(len(column), lengths[0] if lengths else 0)


def _described(table: pyarrow.Table, path: Path) -> tuple[dict[str, list[Any]], dict[str, np.ndarray]]:
    import pyarrow

    columns = {}
    for meaning, names in _TABLE_NAMES.items():
        name = next((name for name in names if name in table.column_names), None)
        if name is not None:
            columns[meaning] = table.column(name).to_pylist()
    concepts = {}
    for field_ in table.schema:
        if pyarrow.types.is_boolean(field_.type):
            if table.column(field_.name).null_count:
                raise InvalidInputError(f"{path}: the concept column {field_.name} has empty cells; fill them with true or false.")
            concepts[field_.name] = table.column(field_.name).to_numpy().astype(bool)
    return columns, concepts


def _read_clip_retrieval(folder: Path) -> ForeignVectors:
    import pyarrow
    import pyarrow.parquet

    files = sorted((folder / "img_emb").glob("img_emb_*.npy"), key=_part_number)
    if not files:
        raise InvalidInputError(f"{folder} is not a clip-retrieval folder: img_emb/img_emb_*.npy is missing.")
    try:
        parts = [_matrix(np.load(file, mmap_mode="r", allow_pickle=False), file) for file in files]
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"The vectors in {folder / 'img_emb'} cannot be read ({error}). {_pickled_hint(error)}") from error
    dims = {part.shape[1] for part in parts}
    if len(dims) > 1:
        raise InvalidInputError(
            f"The files in {folder / 'img_emb'} hold vectors of different widths ({', '.join(map(str, sorted(dims)))})."
        )
    columns: dict[str, list[Any]] = {}
    concepts: dict[str, np.ndarray] = {}
    if (folder / "metadata").is_dir():
        tables = []
        for file, part in zip(files, parts, strict=True):
            described = folder / "metadata" / f"metadata_{file.stem.rpartition('_')[2]}.parquet"
            try:
                tables.append(pyarrow.parquet.read_table(described))
            except (pyarrow.ArrowException, OSError) as error:
                raise InvalidInputError(f"{described}, which belongs to {file.name}, cannot be read ({error}).") from error
            _check_length(len(tables[-1]), len(part), "rows", described)
        columns, concepts = _described(pyarrow.concat_tables(tables, promote_options="default"), folder / "metadata")
    return ForeignVectors(sum(map(len, parts)), dims.pop(), lambda: (chunk for part in parts for chunk in _slices(part)), columns, concepts)


def _part_number(path: Path) -> tuple[int, str]:
    number = path.stem.rpartition("_")[2]
    return (int(number) if number.isdigit() else -1, path.name)


def _matrix(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim != 2 or array.dtype.kind != "f" or not array.size:
        raise InvalidInputError(f"{path}: embeddings must be a non-empty float matrix [items, width], not {array.dtype} {array.shape}.")
    return array


def _check_length(length: int, rows: int, what: str, path: Path) -> None:
    if length != rows:
        raise InvalidInputError(f"{path}: {length} {what} for {rows} embeddings.")


def _slices(matrix: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        yield matrix[start : start + _ROWS_AT_ONCE]


def read_class_names(classes: Path | Sequence[str]) -> tuple[str, ...]:
    """Class names by label: a sequence, a .json (list, or object of numbers to names or names to numbers), or a text file, one per line.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is neither, has gaps, or names one class twice.
    """
    if not isinstance(classes, Path):
        names = list(classes)
    elif not classes.is_file():
        raise NotFoundError(f"There is no file of class names {classes}.")
    elif classes.suffix == ".json":
        names = _json_names(classes)
    else:
        try:
            names = [line.strip() for line in classes.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{classes} is not a text file of class names ({error}); save it as UTF-8.") from error
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise InvalidInputError(f"Class names must be distinct texts, at least one: {classes if isinstance(classes, Path) else names[:5]}.")
    return tuple(names)


def _json_names(path: Path) -> list[str]:
    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
        if isinstance(record, dict):
            by_number = record if all(str(key).isdigit() for key in record) else {value: key for key, value in record.items()}
            numbered = {int(key): name for key, name in by_number.items()}
            if sorted(numbered) != list(range(len(numbered))):
                raise ValueError("the numbers have gaps")
            return [numbered[number] for number in range(len(numbered))]
        if not isinstance(record, list):
            raise ValueError("it holds neither a list nor an object")
        return record
    except (ValueError, TypeError, OSError) as error:
        raise InvalidInputError(f"{path} is not a list of class names ({error}).") from error
