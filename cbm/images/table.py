"""A CSV, TSV or Parquet table of pictures: path, label, group, split, and boolean columns as known concepts."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.images.decode import RejectedImageError
from cbm.images.folder import SPLIT_NAMES, is_text, printable, read_file
from cbm.images.records import FALSE, TRUE, UNKNOWN, ImageRecord, KnownConcepts, Rejected

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "image_id")
_TRUE = {"1", "true", "1.0", "yes"}
_FALSE = {"0", "false", "0.0", "no", "-1"}
_MISSING = {"", "na", "nan", "null", "none"}
_TYPO_SHARE = 0.9
"""A column of which this share of the values are 0 / 1 / true / false was meant to be boolean; the others are typing errors."""

_SAMPLE_BYTES = 65536
"""So much of a table shows its encoding as well as all of it."""


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    """As a text editor or spreadsheet counts: the header is row 1."""
    values: tuple[str, ...]
    """In the order of the columns."""
    problem: str | None = None


class TableSource:
    """The pictures that a table lists, in its order; paths are relative to the table's folder.

    Args:
        path: the table. CSV is UTF-8 (with or without byte order mark) or UTF-16 with one; anything else is guessed, with a note.
        confine: reject absolute paths, and links that leave the folder, as well as relative paths that climb out of it.

    Raises:
        InvalidInputError: no column of paths, a column twice, a value that is no boolean in a boolean column (with its row), or unreadable.
        NotFoundError: none of the files exists.
    """

    kind = "table"

    def __init__(self, path: str | Path, *, confine: bool = False) -> None:
        # Without "..", so that paths can be compared with the folder letter by letter.
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self.name = self.path.name
        self.confine = confine
        self._folder = str(self.path.parent)
        try:
            columns, rows, notes = _read_parquet(self.path) if self.path.suffix.lower() == ".parquet" else _read_csv(self.path)
        except OSError as error:
            raise InvalidInputError(f"{self.path} cannot be read ({error.strerror or error}).") from error
        self._states: dict[str, int] = {}
        self._places = {name: place for place, name in enumerate(columns)}
        self._columns = self._known_columns(columns)
        others = [name for name in columns if name and name not in self._columns.values()]
        self.concept_names = tuple(name for name in others if self._is_boolean(name, rows))
        # A nameless column is the row number that pandas writes.
        ignored = [name for name in others if name not in self.concept_names]
        if ignored:
            notes = (*notes, f"Columns that are neither known nor boolean were ignored: {', '.join(ignored[:12])}.")
        self.notes = notes
        self._concept_places = [self._places[name] for name in self.concept_names]
        self._positions = {name: position for position, name in enumerate(self.concept_names)}
        self._entries = self._make_entries(rows)
        self._numbers = [row.number for row in rows]
        self._require_files()

    def __len__(self) -> int:
        return len(self._entries)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        return iter(self._entries)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        for number, entry in zip(self._numbers, self._entries, strict=True):
            if isinstance(entry, Rejected):
                yield ImageRecord(entry.item, entry.uri), entry
                continue
            try:
                yield entry, read_file(entry.uri)
            except RejectedImageError as error:
                yield entry, Rejected.of(entry, f"row {number}: {error.reason}")

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

    def _is_boolean(self, column: str, rows: Sequence[_Row]) -> bool:
        place = self._places[column]
        counts = Counter(row.values[place] for row in rows if row.problem is None)
        present = {text: count for text, count in counts.items() if text.lower() not in _MISSING}
        wrong = {text: count for text, count in present.items() if text.lower() not in _TRUE | _FALSE}
        if present and wrong and sum(wrong.values()) <= (1 - _TYPO_SHARE) * sum(present.values()):
            number, text = next((row.number, row.values[place]) for row in rows if row.problem is None and row.values[place] in wrong)
            raise InvalidInputError(
                f"{self.path}, row {number}: {text!r} in column {column!r} is neither true nor false, as the others are; "
                "write 1, 0 or leave it empty where it is unknown."
            )
        if not present or wrong:
            return False
        self._states.update((text, UNKNOWN if text.lower() in _MISSING else TRUE if text.lower() in _TRUE else FALSE) for text in counts)
        return True

    def _make_entries(self, rows: Sequence[_Row]) -> list[ImageRecord | Rejected]:
        first_row: dict[str, int] = {}
        entries: list[ImageRecord | Rejected] = []
        for row in rows:
            item = row.values[self._places[self._columns["path"]]]
            problem = row.problem or self._path_problem(item)
            if problem is None and item in first_row:
                problem = f"row {first_row[item]} lists the same file"
            first_row.setdefault(item, row.number)
            if problem is None:
                entries.append(self._record(item, row))
            else:
                # A path may appear in several bad rows, so the row goes into the name.
                shown = printable(item) or "(no path)"
                entries.append(Rejected(f"{shown} (row {row.number})", printable(self._locate(item)), f"row {row.number}: {problem}"))
        return entries

    def _record(self, item: str, row: _Row) -> ImageRecord:
        def value(name: str) -> str | None:
            text = row.values[self._places[self._columns[name]]] if name in self._columns else ""
            return text or None

        split = value("split")
        return ImageRecord(
            item=item,
            uri=self._locate(item),
            label=value("label"),
            group=value("group"),
            split=SPLIT_NAMES.get(split.lower(), split.lower()) if split else None,
            concepts=KnownConcepts(self._positions, bytes(self._states[row.values[place]] for place in self._concept_places)),
        )

    def _locate(self, item: str) -> str:
        return os.path.join(self._folder, item.replace("\\", "/") if os.sep == "/" else item)

    def _path_problem(self, item: str) -> str | None:
        if not item:
            return "the path is empty"
        if "\x00" in item or not is_text(item):
            return "the path is not text"
        file = self._locate(item)
        absolute = os.path.isabs(item.replace("\\", "/"))
        if absolute and self.confine:
            return "the path is absolute; give it relative to the table"
        if not absolute and not _within(os.path.normpath(file), self._folder):
            return "the path climbs out of the table's folder; move the table, or write the absolute path if that is intended"
        if self.confine and not _within(os.path.realpath(file), os.path.realpath(self._folder)):
            return "the path is a link that leaves the table's folder"
        return None

    def _require_files(self) -> None:
        records = [entry for entry in self._entries if isinstance(entry, ImageRecord)]
        if not self._entries:
            raise NotFoundError(f"{self.path} lists no pictures: there are no rows below the header.")
        if records and not any(os.path.exists(record.uri) for record in itertools.islice(records, 1000)):
            raise NotFoundError(
                f"None of the files that {self.path} lists exists, e.g. {records[0].uri}. "
                f"Paths are relative to the table's folder, {self.path.parent}."
            )


def _within(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


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
            rows.append(_Row(number, tuple(padded), problem))
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
    # Every byte is a character of Latin-1, so one of them fits.
    for encoding in (_foreign_encoding(data), "cp1252", "latin-1"):
        with contextlib.suppress(UnicodeDecodeError):
            text = data.decode(encoding)
            break
    name = "Windows-1252 / Latin-1" if encoding in ("cp1252", "latin-1") else encoding
    return text, (f"The table is not UTF-8 (row {line}) and was read as {name}; save it as UTF-8 if names look wrong.",)


def _foreign_encoding(data: bytes) -> str:
    """What charset-normalizer takes the text for, unless it looks West European: those tables it mostly takes for Central European ones.

    In West European text, letters beyond ASCII stand alone; in Cyrillic, Greek and East Asian text they come in runs.
    """
    runs = re.findall(rb"[\x80-\xff]+", data)
    if 2 * sum(len(run) for run in runs if len(run) > 1) <= sum(len(run) for run in runs):
        return "cp1252"
    import charset_normalizer

    lines, size = [], 0
    for line in data.splitlines():
        if not line.isascii() and size < _SAMPLE_BYTES:
            lines.append(line)
            size += len(line)
    guess = charset_normalizer.from_bytes(b"\n".join(lines)).best()
    return "cp1252" if guess is None else guess.encoding


def _read_parquet(path: Path) -> tuple[list[str], list[_Row], tuple[str, ...]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, ValueError) as error:
        raise InvalidInputError(f"{path} is not a readable Parquet file ({error}).") from error
    scalars = [field.name for field in table.schema if not (pyarrow.types.is_nested(field.type) or pyarrow.types.is_binary(field.type))]
    skipped = [name for name in table.column_names if name not in scalars]
    notes = (f"Columns of lists, structures or bytes were ignored: {', '.join(skipped[:12])}.",) if skipped else ()
    columns = [[_text(value) for value in table.column(name).to_pylist()] for name in scalars]
    # Row 1 is the header in a CSV; counting likewise here lets one message serve both.
    rows = [_Row(number + 2, values) for number, values in enumerate(zip(*columns, strict=True))]
    return scalars, rows, notes


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    # pandas turns whole numbers with gaps into floats; the label 3 must stay "3".
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
