"""What artefacts are asked for with: one frozen class for each way of making one, with its parents by name.

An artefact's id is a digest of its request, so that the same request twice is the same artefact. What the digest is taken of must
never change: the ids of every workspace rest on it.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, get_args

from cbm.workspace.ids import ArtifactId, new_id
from cbm.workspace.rows import ChosenRows, RowSelection

if TYPE_CHECKING:
    # Named in the bases of the classes below, where the linter does not look.
    from cbm.workspace.artifacts import (
        Artifact,
        ConceptsArtifact,  # noqa: F401
        DictionaryArtifact,  # noqa: F401
        EmbeddingsArtifact,  # noqa: F401
        ModelArtifact,  # noqa: F401
        VocabularyArtifact,  # noqa: F401
    )

Kind = Literal["embeddings", "vocabulary", "dictionary", "concepts", "model"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Parents = Mapping[str, ArtifactId | tuple[ArtifactId, ...]]
"""Ids by what they are to the artefact."""
A = TypeVar("A", bound="Artifact", covariant=True)
_DIGEST_VERSION = 1


class Request(ABC, Generic[A]):
    """What an artefact is asked for with."""

    kind: ClassVar[Kind]
    way: ClassVar[str]
    """How the artefact is made; with the kind it names the class."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Everything but the parents, as JSON holds it; row selections as they are."""

    def named_parents(self) -> Parents:
        """What it is made from."""
        return {}

    @classmethod
    @abstractmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        """The request that `parameters` and `named_parents` describe, read from JSON."""

    @property
    def parents(self) -> tuple[ArtifactId, ...]:
        """Every parent once, in the order of their names."""
        each = [parent if isinstance(parent, tuple) else (parent,) for parent in self.named_parents().values()]
        return tuple(dict.fromkeys(identifier for group in each for identifier in group))

    @property
    def id(self) -> ArtifactId:
        """The id of the artefact."""
        request = json.dumps([_DIGEST_VERSION, self.kind, self.described(), self.parents], sort_keys=True, separators=(",", ":"))
        return new_id(self.kind, hashlib.sha256(request.encode()).hexdigest())

    def described(self) -> dict[str, Any]:
        """The parameters for people, and for the digest: row selections as the text that the first version wrote."""
        return dict(json.loads(json.dumps(self.parameters(), default=_text)))


def _text(value: Any) -> str:
    if not isinstance(value, RowSelection):
        raise TypeError(f"{value!r} cannot be part of a request")
    return value.text


def _one(parents: Parents, name: str) -> ArtifactId:
    found = parents[name]
    assert isinstance(found, str), name
    return found


def _several(parents: Parents, name: str) -> tuple[ArtifactId, ...]:
    found = parents[name]
    assert isinstance(found, tuple), name
    return found


@dataclass(frozen=True)
class EncodedImages(Request["EmbeddingsArtifact"]):
    """Embeddings of the pictures of a source."""

    kind: ClassVar[Kind] = "embeddings"
    way: ClassVar[str] = "encoded"

    source: str
    """Digest of the pictures and of what is known about them."""
    backbone: Mapping[str, str]
    """Its `architecture` and `fingerprint`."""
    space: str
    moved_to: str | None = None
    """Where the first picture lies, if the pictures of an equal set are gone from where that says."""

    def parameters(self) -> dict[str, Any]:
        moved = {} if self.moved_to is None else {"moved_to": self.moved_to}
        return {"source": self.source, "backbone": dict(self.backbone), "space": self.space, **moved}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(parameters["source"], parameters["backbone"], parameters["space"], parameters.get("moved_to"))


@dataclass(frozen=True)
class ImportedVectors(Request["EmbeddingsArtifact"]):
    """Embeddings that were computed elsewhere."""

    kind: ClassVar[Kind] = "embeddings"
    way: ClassVar[str] = "imported"

    vectors: str
    """Digest of the numbers."""
    items: str
    """Digest of what is known about the rows."""
    backbone: Mapping[str, str]
    space: str

    def parameters(self) -> dict[str, Any]:
        return {"vectors": self.vectors, "items": self.items, "backbone": dict(self.backbone), "space": self.space}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(parameters["vectors"], parameters["items"], parameters["backbone"], parameters["space"])


@dataclass(frozen=True)
class EncodedNames(Request["VocabularyArtifact"]):
    """A list of names, encoded with a backbone."""

    kind: ClassVar[Kind] = "vocabulary"
    way: ClassVar[str] = "encoded"

    source: str
    """The list's name, or its file's."""
    names: str
    """Digest of the names."""
    backbone: Mapping[str, str]
    templates: tuple[str, ...]

    def parameters(self) -> dict[str, Any]:
        templates = list(self.templates)
        return {"source": self.source, "names": self.names, "backbone": dict(self.backbone), "templates": templates}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(parameters["source"], parameters["names"], parameters["backbone"], tuple(parameters["templates"]))


@dataclass(frozen=True)
class ImportedNames(Request["VocabularyArtifact"]):
    """Names with vectors that were computed elsewhere."""

    kind: ClassVar[Kind] = "vocabulary"
    way: ClassVar[str] = "imported"

    source: str
    """The file's name."""
    contents: str
    """Digest of names and vectors."""
    backbone: Mapping[str, str]

    def parameters(self) -> dict[str, Any]:
        return {"source": self.source, "contents": self.contents, "backbone": dict(self.backbone)}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(parameters["source"], parameters["contents"], parameters["backbone"])


@dataclass(frozen=True)
class Discovery(Request["DictionaryArtifact"]):
    """A dictionary learnt from embedding sets."""

    kind: ClassVar[Kind] = "dictionary"
    way: ClassVar[str] = "discovered"

    sets: tuple[ArtifactId, ...]
    training: Mapping[str, Any]
    """The variant and its settings, as `cbm.dictionaries` records them."""
    held_out: float
    """Share of the rows kept out of training."""
    space: str
    backbone: Mapping[str, str]

    def parameters(self) -> dict[str, Any]:
        return {"training": dict(self.training), "held_out": self.held_out, "space": self.space, "backbone": dict(self.backbone)}

    def named_parents(self) -> Parents:
        return {"sets": self.sets}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(_several(parents, "sets"), parameters["training"], parameters["held_out"], parameters["space"], parameters["backbone"])


@dataclass(frozen=True)
class Fitting(Request["DictionaryArtifact"]):
    """A bottleneck whose method names its concepts."""

    kind: ClassVar[Kind] = "dictionary"
    way: ClassVar[str] = "fitted"

    method: str
    options: Mapping[str, Any]
    """Every setting of the method."""
    seed: int
    on: ChosenRows
    """The images that it learned from."""
    vocabulary: ArtifactId | None
    class_texts: str | None
    """Digest of the text embeddings that told words which name one of the classes; None where spelling alone did."""
    space: str
    backbone: Mapping[str, str]

    def parameters(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "options": dict(self.options),
            "seed": self.seed,
            "on": self.on.selection,
            "class_texts": self.class_texts,
            "space": self.space,
            "backbone": dict(self.backbone),
        }

    def named_parents(self) -> Parents:
        return {"on": self.on.embeddings} | ({} if self.vocabulary is None else {"vocabulary": self.vocabulary})

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(
            parameters["method"],
            parameters["options"],
            parameters["seed"],
            ChosenRows(_one(parents, "on"), RowSelection.from_json(parameters["on"])),
            _one(parents, "vocabulary") if "vocabulary" in parents else None,
            parameters["class_texts"],
            parameters["space"],
            parameters["backbone"],
        )


@dataclass(frozen=True)
class LoadedDictionary(Request["DictionaryArtifact"]):
    """A dictionary that others trained."""

    kind: ClassVar[Kind] = "dictionary"
    way: ClassVar[str] = "loaded"

    contents: str
    """Digest of what it computes."""
    format: str
    """The library that wrote it."""
    measured_on: ArtifactId
    same_hook: bool
    """Somebody said that the vectors are those that it was trained on, whatever its file calls them."""
    space: str
    backbone: Mapping[str, str]

    def parameters(self) -> dict[str, Any]:
        return {
            "contents": self.contents,
            "format": self.format,
            "same_hook": self.same_hook,
            "space": self.space,
            "backbone": dict(self.backbone),
        }

    def named_parents(self) -> Parents:
        return {"measured_on": self.measured_on}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(
            parameters["contents"],
            parameters["format"],
            _one(parents, "measured_on"),
            parameters["same_hook"],
            parameters["space"],
            parameters["backbone"],
        )


@dataclass(frozen=True)
class OwnNames(Request["ConceptsArtifact"]):
    """The names that a bottleneck's method gave its concepts."""

    kind: ClassVar[Kind] = "concepts"
    way: ClassVar[str] = "own"

    dictionary: ArtifactId
    on: tuple[ArtifactId, ...]
    """Embedding sets on which the concepts' activations were measured."""
    vocabulary: ArtifactId | None

    def parameters(self) -> dict[str, Any]:
        return {}

    def named_parents(self) -> Parents:
        parents: Parents = {"dictionary": self.dictionary, "on": self.on}
        return {**parents} | ({} if self.vocabulary is None else {"vocabulary": self.vocabulary})

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(_one(parents, "dictionary"), _several(parents, "on"), _one(parents, "vocabulary") if "vocabulary" in parents else None)


@dataclass(frozen=True)
class Naming(Request["ConceptsArtifact"]):
    """Names from a vocabulary for the latents of a dictionary."""

    kind: ClassVar[Kind] = "concepts"
    way: ClassVar[str] = "named"

    dictionary: ArtifactId
    vocabulary: ArtifactId
    on: tuple[ArtifactId, ...]
    """Embedding sets whose images fire the latents."""
    rule: str
    unique: bool

    def parameters(self) -> dict[str, Any]:
        return {"rule": self.rule, "unique": self.unique}

    def named_parents(self) -> Parents:
        return {"dictionary": self.dictionary, "vocabulary": self.vocabulary, "on": self.on}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(
            _one(parents, "dictionary"),
            _one(parents, "vocabulary"),
            _several(parents, "on"),
            parameters["rule"],
            parameters["unique"],
        )


@dataclass(frozen=True)
class Training(Request["ModelArtifact"]):
    """A head trained on concepts' activations."""

    kind: ClassVar[Kind] = "model"
    way: ClassVar[str] = "trained"

    concepts: ArtifactId
    training: ChosenRows
    test: ChosenRows
    head: str
    necs: tuple[int, ...]
    seed: int
    names: str | None
    """The renames, merges and hides that were carried over from another model, as a recipe's JSON."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the head that differ from its defaults."""

    def parameters(self) -> dict[str, Any]:
        return {
            "head": self.head,
            "necs": list(self.necs),
            "seed": self.seed,
            "test": self.test.selection,
            "training": self.training.selection,
            "names": self.names,
            # Left out where there are none: requests of old have none, and their ids are digests.
            **({"options": dict(self.options)} if self.options else {}),
        }

    def named_parents(self) -> Parents:
        return {"concepts": self.concepts, "training": self.training.embeddings, "test": self.test.embeddings}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(
            _one(parents, "concepts"),
            ChosenRows(_one(parents, "training"), RowSelection.from_json(parameters["training"])),
            ChosenRows(_one(parents, "test"), RowSelection.from_json(parameters["test"])),
            parameters["head"],
            tuple(parameters["necs"]),
            parameters["seed"],
            parameters["names"],
            parameters.get("options", {}),
        )


@dataclass(frozen=True)
class Editing(Request["ModelArtifact"]):
    """A model with a recipe of edits."""

    kind: ClassVar[Kind] = "model"
    way: ClassVar[str] = "edited"

    edited_from: ArtifactId
    recipe: str
    """The whole recipe, as its JSON."""
    measured_on: ChosenRows

    def parameters(self) -> dict[str, Any]:
        return {"recipe": self.recipe, "measured_on": self.measured_on.fields()}

    def named_parents(self) -> Parents:
        return {"edited_from": self.edited_from, "measured_on": self.measured_on.embeddings}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        return cls(_one(parents, "edited_from"), parameters["recipe"], ChosenRows.from_json(parameters["measured_on"]))


@dataclass(frozen=True)
class LoadedBundle(Request["ModelArtifact"]):
    """A model out of an exported bundle."""

    kind: ClassVar[Kind] = "model"
    way: ClassVar[str] = "loaded"

    bundle: str
    """Digest of what decides predictions and names."""
    measured_on: ChosenRows | None

    def parameters(self) -> dict[str, Any]:
        return {"bundle": self.bundle, "measured_on": None if self.measured_on is None else self.measured_on.fields()}

    def named_parents(self) -> Parents:
        return {} if self.measured_on is None else {"measured_on": self.measured_on.embeddings}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        measured = parameters["measured_on"]
        return cls(parameters["bundle"], None if measured is None else ChosenRows.from_json(measured))


@dataclass(frozen=True)
class OtherRequest(Request["Artifact"]):
    """An artefact that no verb makes, such as one put together in a test or a notebook."""

    way: ClassVar[str] = "other"

    kind: Kind  # type: ignore[misc]
    given: Mapping[str, Any]
    made_from: tuple[ArtifactId, ...] = ()

    def parameters(self) -> dict[str, Any]:
        return dict(self.given)

    def named_parents(self) -> Parents:
        return {"made_from": self.made_from}

    @classmethod
    def read(cls, parameters: Mapping[str, Any], parents: Parents) -> Self:
        raise TypeError("an other request is read with its kind")


_REQUESTS: tuple[type[Request[Any]], ...] = (
    EncodedImages,
    ImportedVectors,
    EncodedNames,
    ImportedNames,
    Discovery,
    Fitting,
    Naming,
    LoadedDictionary,
    OwnNames,
    Training,
    Editing,
    LoadedBundle,
)
_BY_NAME = {(request.kind, request.way): request for request in _REQUESTS}


def read_request(kind: Kind, way: str, parameters: Mapping[str, Any], parents: Parents) -> Request[Any]:
    """The request that an artefact recorded.

    Raises:
        KeyError, TypeError, AssertionError, InvalidInputError: it is not a request of this kind and way.
    """
    if way == OtherRequest.way:
        return OtherRequest(kind, parameters, _several(parents, "made_from"))
    return _BY_NAME[kind, way].read(parameters, parents)
