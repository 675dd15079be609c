"""A CSV, TSV or Parquet table of pictures: path, label, group, split, and boolean columns as known concepts."""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbm.errors import InvalidInputError, NotFoundError
from cbm.images.decode import RejectedImageError
from cbm.images.folder import SPLIT_NAMES, is_text, printable, read_file
from cbm.images.records import ImageRecord, Rejected

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
_TRUE = {"1", "true", "1.0", "yes"}
_FALSE = {"0", "false", "0.0", "no"}
_MISSING = {"", "na", "nan", "null", "none"}
_TYPO_SHARE = 0.9
"""A column of which this share of the values are 0 / 1 / true / false was meant to be boolean; the others are typing errors."""


@dataclass(frozen=True)
class _Row:
    number: int
    """As a text editor or spreadsheet counts: the header is row 1."""
    values: Mapping[str, str]
    problem: str | None = None


class TableSource:
    """The pictures that a table lists, in its order; paths are relative to the table's folder.

    Args:
        path: the table. CSV is UTF-8 (with or without byte order mark), UTF-16 with one, else read as Windows-1252 / Latin-1 with a note.
        confine: reject absolute paths, and links that leave the folder, as well as relative paths that climb out of it.

    Raises:
        InvalidInputError: no column of paths, a column twice, a value that is no boolean in a boolean column (with its row), or unreadable.
        NotFoundError: none of the files exists.
    """

    kind = "table"

    def __init__(self, path: str | Path, *, confine: bool = False) -> None:
        self.path = Path(path).expanduser().absolute()
        self.name = self.path.name
        self.confine = confine
        try:
            columns, self._rows, notes = _read_parquet(self.path) if self.path.suffix.lower() == ".parquet" else _read_csv(self.path)
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read ({error.strerror or error}).") from error
        self._columns = self._known_columns(columns)
        self.concept_names = tuple(name for name in columns if name and name not in self._columns.values() and self._is_boolean(name))
        # A nameless column is the row number that pandas writes.
        ignored = [name for name in columns if name and name not in self._columns.values() and name not in self.concept_names]
        if ignored:
            notes = (*notes, f"Columns that are neither known nor boolean were ignored: {', '.join(ignored[:12])}.")
        self.notes = notes
        self._entries = self._make_entries()
        self._require_files()

    def __len__(self) -> int:
        return len(self._entries)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return iter(self._entries)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        for row, entry in zip(self._rows, self._entries, strict=True):
            if isinstance(entry, Rejected):
                yield ImageRecord(entry.item, entry.uri), entry
                continue
            try:
                yield entry, read_file(entry.uri)
            except RejectedImageError as error:
                yield entry, Rejected.of(entry, f"row {row.number}: {error.reason}")

    def _known_columns(self, columns: Sequence[str]) -> dict[str, str]:
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise InvalidInputError(f"{self.path} has the column {twice!r} twice; rename one.")
        lowered = {name.lower(): name for name in columns}
        path_column = next((lowered[name] for name in PATH_COLUMNS if name in lowered), None)
        if path_column is None:
            names = ", ".join(columns[:12]) or "nothing"
            raise InvalidInputError(f"{self.path} has no column of paths: its first row must name one `path` (it names: {names}).")
        return {"path": path_column} | {name: lowered[name] for name in ("label", "group", "split") if name in lowered}

    def _is_boolean(self, column: str) -> bool:
        values = [(row.number, row.values[column].lower()) for row in self._rows if row.problem is None]
        present = [(number, value) for number, value in values if value not in _MISSING]
        wrong = [(number, value) for number, value in present if value not in _TRUE and value not in _FALSE]
        if present and wrong and len(wrong) <= (1 - _TYPO_SHARE) * len(present):
            number, value = wrong[0]
            raise InvalidInputError(
                f"{self.path}, row {number}: {value!r} in column {column!r} is neither true nor false, as the others are; "
                "write 1, 0 or leave it empty where it is unknown."
            )
        return bool(present) and not wrong

    def _make_entries(self) -> list[ImageRecord | Rejected]:
        first_row: dict[str, int] = {}
        entries: list[ImageRecord | Rejected] = []
        for row in self._rows:
            item = row.values.get(self._columns["path"], "")
            problem = row.problem or self._path_problem(item)
            if problem is None and item in first_row:
                problem = f"row {first_row[item]} lists the same file"
            first_row.setdefault(item, row.number)
            if problem is None:
                entries.append(self._record(item, row))
            else:
                # A path may stand in several bad rows, so the row goes into the name.
                shown = printable(item) or "(no path)"
                entries.append(Rejected(f"{shown} (row {row.number})", printable(str(self._locate(item))), f"row {row.number}: {problem}"))
        return entries

    def _record(self, item: str, row: _Row) -> ImageRecord:
        def value(name: str) -> str | None:
            text = row.values[self._columns[name]] if name in self._columns else ""
            return text or None

        split = value("split")
        concepts = {name: row.values[name].lower() in _TRUE for name in self.concept_names if row.values[name].lower() not in _MISSING}
        return ImageRecord(
            item=item,
            uri=str(self._locate(item)),
            label=value("label"),
            group=value("group"),
            split=SPLIT_NAMES.get(split.lower(), split.lower()) if split else None,
            concepts=concepts,
        )

    def _locate(self, item: str) -> Path:
        return self.path.parent / item.replace("\\", "/") if os.sep == "/" else self.path.parent / item

    def _path_problem(self, item: str) -> str | None:
        if not item:
            return "the path is empty"
        if "\x00" in item or not is_text(item):
            return "the path is no text"
        folder = self.path.parent
        file = self._locate(item)
        absolute = Path(item.replace("\\", "/")).is_absolute()
        if absolute and self.confine:
            return "the path is absolute; give it relative to the table"
        if not absolute and not Path(os.path.normpath(file)).is_relative_to(folder):
            return "the path climbs out of the table's folder; move the table, or write the absolute path if that is meant"
        if self.confine and not Path(os.path.realpath(file)).is_relative_to(folder.resolve()):
            return "the path is a link that leaves the table's folder"
        return None

    def _require_files(self) -> None:
        records = [entry for entry in self._entries if isinstance(entry, ImageRecord)]
        if not self._entries:
            raise NotFoundError(f"{self.path} lists no pictures: there is nothing below its first row.")
        if records and not any(os.path.exists(record.uri) for record in itertools.islice(records, 1000)):
            raise NotFoundError(
                f"None of the files that {self.path} lists exists, e.g. {records[0].uri}. "
                f"Paths are relative to the table's folder, {self.path.parent}."
            )


def _read_csv(path: Path) -> tuple[list[str], list[_Row], tuple[str, ...]]:
    text, notes = _decode_text(path.read_bytes())
    first_line = text.lstrip("\r\n").partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[_Row] = []
    columns: list[str] | None = None
    start = 1
    try:
        for fields in reader:
            number, start = start, reader.line_num + 1
            values = [field.strip() for field in fields]
            if not any(values):
                continue
            if columns is None:
                columns = values
                continue
            problem = None if len(values) == len(columns) else f"{len(values)} values for {len(columns)} columns"
            padded = values[: len(columns)] + [""] * (len(columns) - len(values))
            rows.append(_Row(number, dict(zip(columns, padded, strict=True)), problem))
    except csv.Error as error:
        raise InvalidInputError(f"{path}, row {start}: {error}. Is a quotation mark open?") from error
    if columns is None:
        raise InvalidInputError(f"{path} is empty; its first row must name the columns, one of them `path`.")
    return columns, rows, notes


def _decode_text(data: bytes) -> tuple[str, tuple[str, ...]]:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace"), ()
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        note = f"The table is not UTF-8 (row {line}) and was read as Windows-1252 / Latin-1; save it as UTF-8 if names look wrong."
    try:
        return data.decode("cp1252"), (note,)
    except UnicodeDecodeError:
        return data.decode("latin-1"), (note,)


def _read_parquet(path: Path) -> tuple[list[str], list[_Row], tuple[str, ...]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, ValueError) as error:
        raise InvalidInputError(f"{path} is no readable Parquet file ({error}).") from error
    scalars = [field.name for field in table.schema if not (pyarrow.types.is_nested(field.type) or pyarrow.types.is_binary(field.type))]
    skipped = [name for name in table.column_names if name not in scalars]
    notes = (f"Columns of lists, structures or bytes were ignored: {', '.join(skipped[:12])}.",) if skipped else ()
    columns = [[_text(value) for value in table.column(name).to_pylist()] for name in scalars]
    # Row 1 is the header in a CSV; counting likewise here lets one message serve both.
    rows = [_Row(number + 2, dict(zip(scalars, values, strict=True))) for number, values in enumerate(zip(*columns, strict=True))]
    return scalars, rows, notes


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    # pandas turns whole numbers with gaps into floats; the label 3 must stay "3".
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
