"""Requests: their ids never change, and they are read back as they were written, also from files of the first version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cbm.core.errors import CorruptArtifactError, InvalidInputError
from cbm.workspace import ArtifactId, ChosenRows, ModelArtifact, RowSelection, Workspace
from cbm.workspace.ids import matching, short
from cbm.workspace.requests import (
    Discovery,
    Editing,
    EncodedImages,
    EncodedNames,
    ImportedNames,
    ImportedVectors,
    LoadedBundle,
    Naming,
    OtherRequest,
    Request,
    Training,
)
from cbm.workspace.rows import AllRows, HeldOutFifth, InSplit, OutsideSplit, RestOfFifth
from cbm.workspace.schema import read_record, request_record

BACKBONE = {"architecture": "ViT-B-32", "pretrained": "openai", "fingerprint": "foreign:ViT-B-32/openai"}
ONE, TWO = ArtifactId("embeddings-0123456789abcdef"), ArtifactId("embeddings-1123456789abcdef")
WORDS, FOUND = ArtifactId("vocabulary-2123456789abcdef"), ArtifactId("dictionary-3123456789abcdef")
NAMED, MODEL = ArtifactId("concepts-4123456789abcdef"), ArtifactId("model-5123456789abcdef")
MEASURED = ChosenRows(TWO, RowSelection(InSplit("test"), labelled=True), 12, "photos")

DEMO = {"architecture": "demo", "fingerprint": "f"}
BASELINE = {"variant": "pca", "width": 8, "k": 2, "seed": 0}


def rows(identifier: ArtifactId, text: str) -> ChosenRows:
    return ChosenRows(identifier, RowSelection.from_json(text))


# The ids are those that the first version gave.
REQUESTS: list[tuple[str, Request[Any]]] = [
    ("embeddings-1f762a2bfa5f7e33", EncodedImages("abc", DEMO, "l2")),
    ("embeddings-1bf0a5f14aeb1f43", EncodedImages("abc", DEMO, "raw", "/a/b.png")),
    ("embeddings-ade451443d3ccbae", ImportedVectors("v", "i", BACKBONE, "raw")),
    ("vocabulary-774ab5bc32ab079c", EncodedNames("english", "n", BACKBONE, ("{}",))),
    ("vocabulary-934d6d27cc7efe03", ImportedNames("w.npz", "c", BACKBONE)),
    ("dictionary-562c78bce2e5c188", Discovery((ONE, TWO), BASELINE, 0.05, "l2", BACKBONE)),
    ("concepts-727f9d76302285d6", Naming(FOUND, WORDS, (ONE, TWO), "cosine", True)),
    ("model-9c9aac1d1ec88569", Training(NAMED, rows(ONE, "all, labelled"), rows(TWO, "all"), "sparse", (5, 10), 3, None)),
    (
        "model-5ddf378db1392edb",
        Training(NAMED, rows(ONE, "rest 3, labelled"), rows(ONE, "fifth 3, labelled"), "dense", (5,), 3, '{"edits": []}'),
    ),
    ("model-fd450e04e5f6d9e5", Training(NAMED, rows(ONE, "not val"), rows(ONE, "split val"), "dense", (5,), 3, None)),
    ("model-50d42f8ad6c77ae4", Editing(MODEL, "ü", MEASURED)),
    ("model-cf65acb755ee4ab2", LoadedBundle("b", MEASURED)),
    ("model-925c6ba654615b8b", LoadedBundle("b", None)),
    ("model-881e55a5777b350b", OtherRequest("model", {"by": "hand"}, (NAMED, ONE))),
]


@pytest.mark.parametrize(("identifier", "request_"), REQUESTS, ids=[identifier for identifier, _ in REQUESTS])
def test_ids_are_those_of_the_first_version(identifier: str, request_: Request[Any]) -> None:
    assert request_.id == identifier


@pytest.mark.parametrize(("identifier", "request_"), REQUESTS, ids=[identifier for identifier, _ in REQUESTS])
def test_a_request_is_read_as_it_was_written(identifier: str, request_: Request[Any]) -> None:
    written = json.loads(json.dumps({**request_record(request_), "schema": 2}))
    assert read_record(written) == request_
    first = {"schema": 1, "kind": request_.kind, "parameters": request_.described(), "parents": list(request_.parents)}
    assert read_record(json.loads(json.dumps(first))) == request_


@pytest.mark.parametrize(
    ("text", "choice", "labelled"),
    [
        ("all", AllRows(), False),
        ("all, labelled", AllRows(), True),
        ("split a test", InSplit("a test"), False),
        ("not val, labelled", OutsideSplit("val"), True),
        ("fifth 7", HeldOutFifth(7), False),
        ("rest 7, labelled", RestOfFifth(7), True),
    ],
)
def test_selections_in_words_and_in_json(text: str, choice: Any, labelled: bool) -> None:
    selection = RowSelection(choice, labelled)
    assert selection.text == text
    assert RowSelection.from_json(text) == selection
    assert RowSelection.from_json(json.loads(json.dumps(selection.to_json()))) == selection


@pytest.mark.parametrize("record", ["half", "fifth x", {"rows": "fifth"}, {"rows": "all", "labelled": True, "seed": 1}, 3, None])
@pytest.mark.wrong_types
def test_what_selects_nothing_is_refused(record: Any) -> None:
    with pytest.raises(InvalidInputError, match="which rows"):
        RowSelection.from_json(record)


def test_ids_are_shortened_and_found_again() -> None:
    assert (MODEL.kind, MODEL.short, short("model-5123456789abcdef")) == ("model", "51234567", "51234567")
    both = [ONE, TWO, MODEL]
    assert matching("0123", both) == [ONE]
    assert matching("embeddings-", both) == [ONE, TWO]
    assert matching(ONE, [ONE, ONE + "0"]) == [ONE]
    assert matching("", both) == matching("9", both) == []
    assert json.dumps([MODEL]) == '["model-5123456789abcdef"]'


def test_a_model_tells_its_parents_by_name(tmp_path: Path) -> None:
    home = Workspace(tmp_path)
    concepts = home.create(OtherRequest("concepts", {}), lambda draft: None).id
    images = home.create(OtherRequest("embeddings", {}), lambda draft: None).id
    training = Training(concepts, rows(images, "rest 0"), rows(images, "fifth 0"), "sparse", (5,), 0, None)
    model = home.create(training, lambda draft: draft.metrics.update(accuracy=0.5, nec_path=[{"nec": 5, "reached": True, "accuracy": 0.5}]))
    assert model == home.get(model.id, ModelArtifact) == home.list(ModelArtifact)[0]
    assert (model.concepts, model.training, model.test) == (concepts, training.training, training.test)
    assert (model.edited_from, model.is_loaded, model.parents) == (None, False, (concepts, images))
    assert (model.figures.accuracy, model.figures.nec_path[0].nec, model.figures.zero_shot) == (0.5, 5, None)
    edited = home.create(Editing(model.id, "{}", rows(images, "all")), lambda draft: None)
    assert (edited.edited_from, edited.measured_on, edited.parents) == (model.id, rows(images, "all"), (model.id, images))
    record = edited.record()
    assert record["made_from"] == {"edited_from": model.id, "measured_on": images}
    assert record["parameters"]["measured_on"]["selection"] == "all"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 3}, "newer version"),
        ({"way": "found"}, "not a readable artefact"),
        ({"parents": {}}, "not a readable artefact"),
        ({"parameters": {"rule": "cosine"}}, "not a readable artefact"),
    ],
)
def test_a_damaged_record_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    home = Workspace(tmp_path)
    made = [home.create(OtherRequest(kind, {}), lambda draft: None).id for kind in ("dictionary", "vocabulary", "embeddings")]  # type: ignore[arg-type]
    artifact = home.create(Naming(made[0], made[1], (made[2],), "cosine", False), lambda draft: None)
    file = artifact.path / "artifact.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CorruptArtifactError, match=message):
        home.get(artifact.id)
    assert len(home.damaged()) == 1
