"""The concept table: every latent of a dictionary with its names, scores, statistics and what the user decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32

from cbm.core.codes import Codes
from cbm.core.errors import CorruptArtifactError, InvalidInputError

if TYPE_CHECKING:
    import pandas as pd

    from cbm.names.rules import Naming

CONCEPTS_FILE = "concepts.parquet"
COLUMNS = ("index", "name", "candidates", "scores", "score", "named", "density", "mean_activation", "max_activation")
_METADATA_KEY = b"cbm"


@dataclass(frozen=True)
class ActivationStatistics:
    """How often and how strongly each latent is active on a set of images."""

    density: Float32[np.ndarray, " size"]
    """Fraction of the images in which the latent is active."""
    mean_activation: Float32[np.ndarray, " size"]
    """Mean over the images in which it is active; 0 where there is none."""
    max_activation: Float32[np.ndarray, " size"]

    @classmethod
    def of(cls, codes: Codes) -> ActivationStatistics:
        active = codes.values != 0
        index, value = codes.indices[active], codes.values[active].astype(np.float64)
        count = np.bincount(index, minlength=codes.size)
        total = np.bincount(index, weights=value, minlength=codes.size)
        largest = np.full(codes.size, -np.inf)
        np.maximum.at(largest, index, value)
        return cls(
            (count / max(len(codes), 1)).astype(np.float32),
            (total / np.maximum(count, 1)).astype(np.float32),
            np.where(count > 0, largest, 0.0).astype(np.float32),
        )


@dataclass(frozen=True)
class ConceptTable:
    """One row for each latent, in the dictionary's order. Instances never change; `with_…` return new tables.

    Names are shown; they take no part in predictions.
    """

    frame: pd.DataFrame
    """Columns: index int, name str, candidates list[str], scores list[float], score float (of the name), named bool, density,
    mean_activation, max_activation (floats). `name` is empty where `named` is false."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """How the names came about: rule, threshold, vocabulary, backbone, …; JSON-ready."""
    hidden: frozenset[int] = frozenset()
    """Concepts that the user wants out of lists; they still contribute."""
    merged: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """First member of each merged group -> all its members; the first represents the group."""

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.frame.columns]
        if missing:
            raise InvalidInputError(f"A concept table needs the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing.")
        if not np.array_equal(self.frame["index"].to_numpy(), np.arange(len(self.frame))):
            raise InvalidInputError("The rows of a concept table must be in the dictionary's order: index 0, 1, 2, …")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def names(self) -> list[str]:
        """What to show for every latent: its name, or "unnamed 17"."""
        return [
            name if named else unnamed_label(index)
            for index, (name, named) in enumerate(zip(self.frame["name"], self.frame["named"], strict=True))
        ]

    @property
    def labels(self) -> list[str]:
        """As `names`, but distinct: names that several latents bear carry the index ("dog #12")."""
        names = self.names
        counts: dict[str, int] = {}
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        return [name if counts[name] == 1 else f"{name} #{index}" for index, name in enumerate(names)]

    @property
    def named(self) -> Bool[np.ndarray, " concepts"]:
        return self.frame["named"].to_numpy(dtype=bool)

    def search(self, text: str) -> list[int]:
        """Latents whose name or one of whose candidates contains `text`, those with it in the name first."""
        wanted = text.strip().casefold()
        in_name = [wanted in name.casefold() for name in self.names]
        anywhere = [any(wanted in candidate.casefold() for candidate in row) for row in self.frame["candidates"]]
        return [i for i, hit in enumerate(in_name) if hit] + [i for i, hit in enumerate(anywhere) if hit and not in_name[i]]

    def candidates(self, index: int) -> list[tuple[str, float]]:
        """Candidate names of one latent with their scores, best first."""
        row = self.frame.iloc[index]
        return [(str(name), float(score)) for name, score in zip(row["candidates"], row["scores"], strict=True)]

    def with_names(self, names: Mapping[int, str]) -> ConceptTable:
        """The table in which the latents of `names` bear these names instead.

        Raises:
            InvalidInputError: there is no such latent, or a name is blank.
        """
        for index, name in names.items():
            if not 0 <= index < len(self):
                raise InvalidInputError(f"There is no concept {index}; concepts are 0 to {len(self) - 1}.")
            if not name.strip():
                raise InvalidInputError(f"The new name of concept {index} is blank; hide the concept instead.")
        frame = self.frame.copy()
        rows = list(names)
        frame.loc[rows, "name"] = [names[index].strip() for index in rows]
        frame.loc[rows, "named"] = True
        return replace(self, frame=frame)

    def with_decisions(
        self, names: Mapping[int, str], hidden: Iterable[int] = (), merged: Mapping[int, Sequence[int]] | None = None
    ) -> ConceptTable:
        """The table as the user wants it shown: a recipe's renames, hides and merges (`cbm.editing.recipe.Decisions`) applied to it.

        Raises:
            InvalidInputError: as `with_names`.
        """
        groups = {first: tuple(members) for first, members in (merged or {}).items()}
        return replace(self.with_names(names), hidden=frozenset(hidden), merged=groups)

    @classmethod
    def from_naming(
        cls,
        naming: Naming,
        vocabulary: Sequence[str],
        statistics: ActivationStatistics,
        details: Mapping[str, Any] | None = None,
    ) -> ConceptTable:
        """Names from a naming rule joined with activation statistics.

        Args:
            vocabulary: the names that the naming's candidates index.
        """
        import pandas as pd

        words = np.asarray(vocabulary, dtype=object)
        position = naming.chosen_position
        rows = np.arange(len(position))
        frame = pd.DataFrame(
            {
                "index": rows.astype(np.int32),
                "name": np.where(naming.named, words[naming.names], ""),
                "candidates": list(words[naming.candidates]),
                "scores": list(naming.scores),
                "score": naming.scores[rows, position],
                "named": naming.named,
                "density": statistics.density,
                "mean_activation": statistics.mean_activation,
                "max_activation": statistics.max_activation,
            }
        )
        return cls(frame, {"rule": naming.rule, "threshold": naming.threshold, "unique": naming.unique, **(details or {})})

    @classmethod
    def unnamed(cls, statistics: ActivationStatistics) -> ConceptTable:
        """A table without any name: what a dictionary has before naming."""
        return cls._given(None, statistics, {})

    @classmethod
    def named_by_method(cls, names: Sequence[str], statistics: ActivationStatistics, details: Mapping[str, Any]) -> ConceptTable:
        """A table of the names that a bottleneck's own method gave; they have no rivals and no score."""
        return cls._given(names, statistics, details)

    @classmethod
    def _given(cls, names: Sequence[str] | None, statistics: ActivationStatistics, details: Mapping[str, Any]) -> ConceptTable:
        import pandas as pd

        size = len(statistics.density)
        frame = pd.DataFrame(
            {
                "index": np.arange(size, dtype=np.int32),
                "name": [""] * size if names is None else list(names),
                "candidates": [[] for _ in range(size)] if names is None else [[name] for name in names],
                "scores": [[] for _ in range(size)] if names is None else [[0.0] for _ in names],
                "score": np.zeros(size, np.float32),
                "named": np.full(size, names is not None),
                "density": statistics.density,
                "mean_activation": statistics.mean_activation,
                "max_activation": statistics.max_activation,
            }
        )
        return cls(frame, details)

    def save(self, folder: Path) -> None:
        """Write `concepts.parquet` into `folder`: the rows, and details, hidden and merged in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        record = {
            "details": dict(self.details),
            "hidden": sorted(self.hidden),
            "merged": {str(first): list(members) for first, members in self.merged.items()},
        }
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        pq.write_table(
            table.replace_schema_metadata({**(table.schema.metadata or {}), _METADATA_KEY: json.dumps(record)}), folder / CONCEPTS_FILE
        )

    @classmethod
    def load(cls, folder: Path) -> ConceptTable:
        """The table that `save` wrote into `folder`.

        Raises:
            CorruptArtifactError: the file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(folder / CONCEPTS_FILE)
            record = json.loads((table.schema.metadata or {})[_METADATA_KEY])
            merged = {int(first): tuple(members) for first, members in record["merged"].items()}
            return cls(table.to_pandas(), record["details"], frozenset(record["hidden"]), merged)
        except (KeyError, TypeError, ValueError, OSError, pa.ArrowException, InvalidInputError) as error:
            raise CorruptArtifactError(f"{folder / CONCEPTS_FILE} is missing or damaged ({error}); name the dictionary again.") from error


def unnamed_label(index: int) -> str:
    """What represents a latent without a name."""
    return f"unnamed {index}"
