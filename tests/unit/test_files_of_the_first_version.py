"""A workspace, a bundle and recipes that the first version wrote: everything opens, and says what it said then.

`tests/data/first_version.tar.xz` holds its files: a demo in miniature; scenes, pictures and imported vectors; every kind of dictionary,
with names and a model on each; models tested on another set, a split, a fifth, and images that are partly labelled; edited models and
loaded bundles; a table of jobs. `first_version.json` holds what the first version itself computed from them. Neither is written again.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cbm import verbs
from cbm.cli import command_line
from cbm.core.errors import InvalidInputError
from cbm.dictionaries.base import load_dictionary
from cbm.editing.recipe import AblateConcept, Recipe, RenameConcept
from cbm.embeddings.sets import load_set
from cbm.jobs.store import Jobs
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ConceptTable
from cbm.names.vocabulary import Vocabulary
from cbm.reproduction import reproduction
from cbm.study.held_out import find_rows
from cbm.study.opened import load_model
from cbm.workspace.workspace import Workspace

DATA = Path(__file__).parents[1] / "data"
SAID: dict[str, Any] = json.loads((DATA / "first_version.json").read_text(encoding="utf-8"))
NAMES: dict[str, str] = SAID["names"]
MODELS: dict[str, Any] = SAID["models"]
LOGITS = {"rtol": 1e-4, "atol": 2e-5}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat it as read-only; `copied` gives a workspace to write to."""
    folder = tmp_path_factory.mktemp("first")
    with tarfile.open(DATA / "first_version.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def workspace(unpacked: Path) -> Workspace:
    return Workspace(unpacked / "workspace")


@pytest.fixture
def copied(unpacked: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(unpacked / "workspace", tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def shell(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(command_line(), [*arguments, "--workspace", str(workspace.root), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_every_artefact_is_listed_and_shown(workspace: Workspace) -> None:
    assert not workspace.damaged()
    listed = {artifact["id"]: artifact for artifact in shell(workspace, "list")["artifacts"]}
    assert {identifier: artifact["kind"] for identifier, artifact in listed.items()} == {
        identifier: artifact["kind"] for identifier, artifact in SAID["artifacts"].items()
    }
    for identifier, artifact in SAID["artifacts"].items():
        shown = shell(workspace, "show", identifier)
        assert (shown["id"], shown["kind"]) == (identifier, artifact["kind"])
        assert {name: shown["metrics"][name] for name in artifact["metrics"]} == artifact["metrics"]
        assert shell(workspace, "show", identifier.partition("-")[2][:10])["id"] == identifier


def test_embedding_sets(workspace: Workspace) -> None:
    assert len(SAID["sets"]) == 11
    for identifier, said in SAID["sets"].items():
        images = load_set(workspace, identifier)
        assert (images.name, len(images), images.dim, images.space) == (said["name"], said["rows"], said["dim"], said["space"])
        assert (list(images.classes), list(images.groups)) == (said["classes"], said["groups"])
        assert images.backbone.to_dict() == said["backbone"]
        assert images.items["item"].tolist()[:3] == said["items"]
        assert images.labels[:10].tolist() == said["labels"]
        assert int((~images.labelled).sum()) == said["unlabelled"]
        assert (len(images.concept_names), int(images.truth.sum())) == (said["known concepts"], said["truth"])
        np.testing.assert_allclose(images.embeddings[0, :4], said["first"], atol=1e-6)


def test_vocabularies(workspace: Workspace) -> None:
    for identifier, said in SAID["vocabularies"].items():
        words = Vocabulary.load(workspace.get(identifier))
        assert (len(words), list(words.names[:4]), words.source) == (said["names"], said["some"], said["source"])
        np.testing.assert_allclose(words.embeddings[0, :4], said["first"], atol=1e-6)


def test_dictionaries_of_every_kind(workspace: Workspace) -> None:
    assert {said["kind"] for said in SAID["dictionaries"].values()} == {"jumprelu", "kmeans", "pca", "random", "neurons"}
    scenes, foreign = (load_set(workspace, NAMES[name]).embeddings[:3] for name in ("scenes test", "foreign vectors"))
    for identifier, said in SAID["dictionaries"].items():
        dictionary = load_dictionary(workspace.get(identifier).path)
        assert (dictionary.kind, dictionary.size) == (said["kind"], said["size"])
        activations = dictionary.encode(scenes if dictionary.dim == scenes.shape[1] else foreign).to_dense()
        assert np.count_nonzero(activations, axis=1).tolist() == said["active"]
        assert np.abs(activations).argmax(axis=1).tolist() == said["strongest"]
        np.testing.assert_allclose(activations[np.arange(3), said["strongest"]], said["value"], **LOGITS)
        np.testing.assert_allclose(dictionary.directions[0, :4], said["direction"], atol=1e-5)


def test_concepts(workspace: Workspace) -> None:
    for identifier, said in SAID["concepts"].items():
        table = ConceptTable.load(workspace.get(identifier).path)
        assert (table.names[:6], table.labels[:6]) == (said["names"], said["labels"])
        assert [name for name, _ in table.candidates(0)][:3] == said["candidates"]
        assert table.candidates(0)[0][1] == pytest.approx(said["score"], abs=1e-4)
        assert float(table.frame["density"].sum()) == pytest.approx(said["density"], abs=1e-4)
        assert table.details["rule"] == said["rule"]


@pytest.mark.parametrize("name", MODELS)
def test_models_predict_what_they_predicted(workspace: Workspace, name: str) -> None:
    said = MODELS[name]
    opened = load_model(workspace, said["id"])
    model = opened.model
    assert (list(model.classes), model.head.kind, len(model.recipe)) == (said["classes"], said["head"], said["edits"])
    assert int(np.count_nonzero(model.head.weight)) == said["nonzero"]
    assert list(model.names[:6]) == said["names"]
    rows = opened.test_rows(workspace)
    predicted = model.predict(rows.embeddings, rows.items)
    np.testing.assert_allclose(predicted.logits[:3], said["logits"], **LOGITS)
    assert list(predicted.names[:5]) == said["predicted"]
    labels = rows.labels_among(model.classes)
    assert float((predicted.labels == labels)[labels >= 0].mean()) == pytest.approx(said["accuracy"], abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_found_again(workspace: Workspace, name: str) -> None:
    said = MODELS[name]
    opened = load_model(workspace, said["id"])
    tested = opened.test_rows(workspace)
    assert (tested.source.id, len(tested.rows)) == (said["test"]["set"], said["test"]["rows"])
    assert tested.rows[:5].tolist() == said["test"]["first"]
    assert opened.training is not None
    trained = find_rows(workspace, opened.training)
    assert (trained.source.id, len(trained.rows)) == (said["training"]["set"], said["training"]["rows"])
    assert trained.rows[-5:].tolist() == said["training"]["last"]


@pytest.mark.parametrize("name", MODELS)
def test_scripts_that_make_a_model_again_are_still_written(workspace: Workspace, name: str) -> None:
    script = reproduction(workspace, MODELS[name]["id"])
    assert script.model == MODELS[name]["id"]
    assert [line.split()[1] for line in script.shell.splitlines() if line.startswith("cbm ")] == MODELS[name]["shell"]
    assert list(script.given) == MODELS[name]["given"]
    compile(script.python, "reproduce.py", "exec")


def test_the_bundle(unpacked: Path, workspace: Workspace) -> None:
    said = SAID["bundle"]
    model = ConceptModel.load(unpacked / "bundle")
    images = load_set(workspace, NAMES["scenes test"]).embeddings[:3]
    items = [said["first item"], "b", "c"]
    np.testing.assert_allclose(model.predict(images, items).logits, said["logits"], **LOGITS)
    top = model.explain(images[0], said["first item"]).top(3)
    assert [part.name for part in top] == [name for name, _ in said["top"]]
    np.testing.assert_allclose([part.contribution for part in top], [value for _, value in said["top"]], **LOGITS)
    assert (
        sorted(file.relative_to(unpacked / "bundle").as_posix() for file in (unpacked / "bundle").rglob("*") if file.is_file())
        == (said["files"])
    )


@pytest.mark.parametrize("name", SAID["recipes"])
def test_recipes_have_the_same_effect(unpacked: Path, workspace: Workspace, name: str) -> None:
    said = SAID["recipes"][name]
    plain = ConceptModel.load(workspace.get(SAID["recipe model"]).path)
    recipe = Recipe.from_json((unpacked / "recipes" / f"{name}.json").read_text(encoding="utf-8"), plain.concepts_named)
    assert (len(recipe.steps), len(recipe.active)) == (said["steps"], said["active"])
    model = plain.with_recipe(recipe)
    images = load_set(workspace, NAMES["scenes test"])
    predicted = model.predict(images.embeddings, images.items["item"].tolist())
    np.testing.assert_allclose(predicted.logits[:2], said["logits"], **LOGITS)
    assert int((predicted.labels != plain.predict(images.embeddings).labels).sum()) == said["changed"]
    assert [model.names[concept] for concept in SAID["renamed concepts"]] == said["names"]


def test_the_demo_is_found(workspace: Workspace) -> None:
    pointer = json.loads((workspace.root / "demo.json").read_text(encoding="utf-8"))
    for identifier in (pointer["model"], pointer["concepts"], pointer["shortcut"]["edited"], pointer["test"]):
        assert workspace.get(identifier).id == identifier


def test_jobs(copied: Workspace) -> None:
    jobs = {(job.kind, job.state): job for job in Jobs(copied).list()}
    assert set(jobs) == {("vocabulary", "done"), ("discover", "failed"), ("discover", "queued")}
    done = jobs["vocabulary", "done"]
    assert (done.title, done.result) == ("Words of scenes", {"vocabulary": NAMES["scene words"], "count": 140})
    assert "Unknown variant 'magic'" in (jobs["discover", "failed"].error or "")


def test_the_same_requests_find_the_old_artefacts(copied: Workspace, unpacked: Path) -> None:
    """Ids are digests of requests, so that nothing of an old workspace is computed again."""
    before = {artifact.id for artifact in copied.list()}
    home: dict[str, Any] = {"workspace": copied, "device": "cpu"}
    train = verbs.embed("scenes:classes?count=90&seed=0&split=train", **home)
    assert (train.embeddings, train.reused) == (NAMES["scenes train"], 90)
    assert verbs.vocabulary("scenes", **home).vocabulary == NAMES["scene words"]
    assert verbs.vocabulary(unpacked / "list.txt", **home).vocabulary == NAMES["words of a list"]
    words = verbs.vocabulary(unpacked / "words.npz", "ViT-B-32", "openai", workspace=copied).vocabulary
    assert words == NAMES["foreign words"]
    foreign = verbs.import_vectors(unpacked / "foreign.npz", "ViT-B-32", "openai", workspace=copied).embeddings
    assert foreign == NAMES["foreign vectors"]
    sets = [NAMES["scenes train"], NAMES["shortcut train"]]
    for variant, options in {
        "batchtopk": {"width": 32, "epochs": 12, "matryoshka": (0.5, 1.0), "learning_rate": 1e-3},
        "topk": {"width": 32, "epochs": 12},
        "relu-l1": {"width": 32, "epochs": 12},
        "kmeans": {"width": 32},
        "random": {"width": 32},
        "pca": {},
        "neurons": {},
    }.items():
        found = verbs.discover(sets, variant=variant, k=5, seed=1, **options, **home)  # type: ignore[arg-type]
        assert found.dictionary == NAMES[f"dictionary {variant}"], variant
    named = verbs.name(NAMES["dictionary topk"], NAMES["scene words"], unique=True, **home)
    assert named.concepts == NAMES["concepts topk"]
    on_fifth = verbs.train(named.concepts, NAMES["scenes train"], necs=(6,), head="dense", seed=3, **home).model
    assert on_fifth == NAMES["model on a held-out fifth"]
    edited = verbs.edit(on_fifth, Recipe.of(AblateConcept(2, "two"), RenameConcept(3, "three", "dune")), workspace=copied).model
    assert edited == NAMES["edited on the fifth"]
    carried = verbs.train(named.concepts, NAMES["scenes train"], necs=(6,), head="dense", seed=3, names_from=edited, **home).model
    assert carried == NAMES["model with names carried over"]
    assert verbs.import_bundle(unpacked / "bundle", workspace=copied).model == NAMES["bundle with its own test images"]
    assert {artifact.id for artifact in copied.list()} == before


def test_new_work_builds_on_old(copied: Workspace, unpacked: Path) -> None:
    pca = verbs.discover([NAMES["pets"]], variant="pca", k=4, workspace=copied, device="cpu")
    named = verbs.name(pca.dictionary, NAMES["scene words"], workspace=copied)
    model = verbs.train(named.concepts, NAMES["pets"], necs=(2,), workspace=copied, device="cpu").model
    assert verbs.edit(model, Recipe.of(AblateConcept(0, "first")), workspace=copied).model != model
    edited = verbs.edit(NAMES["edited twice"], Recipe.of(AblateConcept(0, "first")), workspace=copied).model
    assert len(ConceptModel.load(copied.get(edited).path).recipe) == MODELS["edited twice"]["edits"] + 1
    with pytest.raises(InvalidInputError, match="parent"):
        copied.remove(NAMES["edited twice"])
    copied.remove(edited)
