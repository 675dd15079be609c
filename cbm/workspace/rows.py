"""Which rows of an embedding set a model was trained or measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cbm.core.errors import InvalidInputError
from cbm.workspace.ids import ArtifactId

_LABELLED = ", labelled"


@dataclass(frozen=True)
class AllRows:
    """Every row."""


@dataclass(frozen=True)
class InSplit:
    """The rows of one split of the set."""

    name: str


@dataclass(frozen=True)
class OutsideSplit:
    """The rows of every other split."""

    name: str


@dataclass(frozen=True)
class HeldOutFifth:
    """A fifth of every class, drawn by a seed."""

    seed: int


@dataclass(frozen=True)
class RestOfFifth:
    """What a held-out fifth leaves."""

    seed: int


RowChoice: TypeAlias = AllRows | InSplit | OutsideSplit | HeldOutFifth | RestOfFifth
_CHOICES: dict[str, type[RowChoice]] = {"all": AllRows, "split": InSplit, "not": OutsideSplit, "fifth": HeldOutFifth, "rest": RestOfFifth}
_WORDS = {choice: word for word, choice in _CHOICES.items()}


@dataclass(frozen=True)
class RowSelection:
    """A choice of rows, and whether those without a label were left out of it."""

    choice: RowChoice = AllRows()
    labelled: bool = False

    @property
    def text(self) -> str:
        """For people, and for the digests that ids are.

        >>> RowSelection(HeldOutFifth(3), labelled=True).text
        'fifth 3, labelled'
        """
        argument = "".join(f" {value}" for value in vars(self.choice).values())
        return f"{_WORDS[type(self.choice)]}{argument}{_LABELLED if self.labelled else ''}"

    def to_json(self) -> dict[str, Any]:
        """
        >>> RowSelection(InSplit("test")).to_json()
        {'rows': 'split', 'name': 'test', 'labelled': False}
        """
        return {"rows": _WORDS[type(self.choice)], **vars(self.choice), "labelled": self.labelled}

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | str) -> RowSelection:
        """What `to_json` wrote, or the text that the first version wrote instead.

        Raises:
            InvalidInputError: it is neither.
        """
        try:
            if isinstance(record, str):
                return cls._from_text(record)
            arguments = {name: value for name, value in record.items() if name not in ("rows", "labelled")}
            return cls(_CHOICES[record["rows"]](**arguments), bool(record["labelled"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(f"{record!r} does not say which rows of a set are meant ({error!r}).") from error

    @classmethod
    def _from_text(cls, text: str) -> RowSelection:
        word, _, argument = text.removesuffix(_LABELLED).partition(" ")
        labelled = text.endswith(_LABELLED)
        match word:
            case "all":
                return cls(AllRows(), labelled)
            case "split":
                return cls(InSplit(argument), labelled)
            case "not":
                return cls(OutsideSplit(argument), labelled)
            case "fifth":
                return cls(HeldOutFifth(int(argument)), labelled)
            case "rest":
                return cls(RestOfFifth(int(argument)), labelled)
        raise ValueError(text)


@dataclass(frozen=True)
class ChosenRows:
    """Rows of an embedding set, chosen so that they can be found again."""

    embeddings: ArtifactId
    selection: RowSelection
    count: int | None = None
    """How many they were; None where it was not recorded."""
    name: str = ""
    """What the set's source called itself, for display."""

    def fields(self) -> dict[str, Any]:
        return {"embeddings": self.embeddings, "selection": self.selection, "count": self.count, "name": self.name}

    def described(self) -> dict[str, Any]:
        """As a model's own files hold it, and people read it there: the selection in words."""
        return {**self.fields(), "selection": self.selection.text}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ChosenRows:
        """What `described` gives, or an artefact's record of it.

        Raises:
            InvalidInputError: the record is not one of rows.
        """
        try:
            selection = record["selection"]
            return cls(
                ArtifactId(record["embeddings"]),
                selection if isinstance(selection, RowSelection) else RowSelection.from_json(selection),
                record.get("count"),
                record.get("name", ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidInputError(f"{record!r} does not say which rows of a set are meant ({error!r}).") from error
