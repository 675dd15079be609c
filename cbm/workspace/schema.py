"""`artifact.json`: how it is written, and how the files of earlier versions are brought to today's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbm.core.errors import CorruptArtifactError
from cbm.workspace.ids import ArtifactId
from cbm.workspace.requests import Kind, Parents, Request, read_request
from cbm.workspace.rows import RowSelection

SCHEMA_VERSION = 2


def request_record(request: Request[Any]) -> dict[str, Any]:
    """A request as `artifact.json` holds it."""
    parents = {name: parent if isinstance(parent, str) else list(parent) for name, parent in request.named_parents().items()}
    return {"kind": request.kind, "way": request.way, "parameters": _plain(request.parameters()), "parents": parents}


def _plain(value: Any) -> Any:
    match value:
        case RowSelection():
            return value.to_json()
        case Mapping():
            return {name: _plain(entry) for name, entry in value.items()}
    return value


def read_record(record: Mapping[str, Any]) -> Request[Any]:
    """The request in an `artifact.json` of any version.

    Raises:
        CorruptArtifactError: it is of a version that this one does not know.
        LookupError, TypeError, ValueError, AttributeError, AssertionError, InvalidInputError: it is damaged.
    """
    match record["schema"]:
        case 1:
            return first_request(record["kind"], record["parameters"], [ArtifactId(parent) for parent in record["parents"]])
        case 2:
            return read_request(record["kind"], record["way"], record["parameters"], _parents(record["parents"]))
        case other:
            raise CorruptArtifactError(
                f"It has schema {other}, this version reads {SCHEMA_VERSION}; open it with a newer version, or make the artefact again."
            )


def _parents(record: Mapping[str, Any]) -> Parents:
    return {
        name: ArtifactId(parent) if isinstance(parent, str) else tuple(ArtifactId(entry) for entry in parent)
        for name, parent in record.items()
    }


def first_request(kind: Kind, parameters: Mapping[str, Any], parents: list[ArtifactId]) -> Request[Any]:
    """The request of a file of schema 1, which named neither the way an artefact was made nor its parents: their order said it."""
    way, named = _first_names(kind, parameters, parents)
    return read_request(kind, way, parameters, named)


def _first_names(kind: Kind, parameters: Mapping[str, Any], parents: list[ArtifactId]) -> tuple[str, Parents]:
    match kind:
        case "embeddings" if "vectors" in parameters:
            return "imported", {}
        case "embeddings" if {"source", "backbone"} <= set(parameters):
            return "encoded", {}
        case "vocabulary" if {"source", "backbone"} <= set(parameters):
            return ("imported" if "contents" in parameters else "encoded"), {}
        case "dictionary" if parents and "training" in parameters:
            return "discovered", {"sets": tuple(parents)}
        case "concepts" if "rule" in parameters and len(parents) > 2:
            return "named", {"dictionary": parents[0], "vocabulary": parents[1], "on": tuple(parents[2:])}
        case "model" if "recipe" in parameters:
            return "edited", {"edited_from": parents[0]}
        case "model" if "bundle" in parameters:
            return "loaded", {}
        case "model" if "head" in parameters:
            # One id where a set was divided into rows to train on and rows to test on.
            return "trained", {"concepts": parents[0], "training": parents[1], "test": parents[-1]}
    return "other", {"made_from": tuple(parents)}
