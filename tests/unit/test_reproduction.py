"""Scripts that make a model again are run, and make the very same model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cbm import verbs
from cbm.cli import command_line
from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import AblateConcept, Recipe, RenameConcept
from cbm.model.concept_model import ConceptModel
from cbm.registry import DICTIONARIES
from cbm.reproduction import reproduction
from cbm.reproduction.lineage import _word
from cbm.verbs.discover import training_arguments
from cbm.workspace.workspace import Draft, Workspace

ROOT = Path(__file__).resolve().parents[2]
CALLS = """
cbm() { for part in "$@"; do printf '%s\\0' "$part"; done; printf '\\1\\0'; }
"""
"""In the place of the command: says how it was called."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The whole line on a handful of scenes: a model, one with renamed concepts, one trained with those names, one edited."""
    home = Workspace(tmp_path_factory.mktemp("tiny") / "workspace")
    train = verbs.embed("scenes:shortcut?count=80&seed=0&split=train", workspace=home, device="cpu").embeddings
    test = verbs.embed("scenes:shortcut?count=40&seed=0&split=test", workspace=home, device="cpu").embeddings
    found = verbs.discover([train], width=48, k=6, epochs=3, seed=7, workspace=home, device="cpu").dictionary
    words = verbs.vocabulary("attributes", workspace=home, device="cpu").vocabulary
    named = verbs.name(found, words, rule="cosine", on=test, workspace=home).concepts
    model = verbs.train(named, train, test=test, necs=(4, 8), head="dense", workspace=home, device="cpu").model
    names = ConceptModel.load(home.get(model).path).names
    renamed = verbs.edit(model, Recipe.of(RenameConcept(3, names[3], "it's “new”")), workspace=home).model
    verbs.train(named, train, test=test, necs=(4, 8), head="dense", names_from=renamed, workspace=home, device="cpu")
    return home


def model_with(workspace: Workspace, key: str, value: object = ...) -> str:
    """The newest model with a parameter (of some value)."""
    found = [artifact.id for artifact in workspace.list("model") if key in artifact.parameters]
    if value is not ...:
        found = [name for name in found if (workspace.get(name).parameters[key] is None) == (value is None)]
    return found[-1]


def run_python(script: str, folder: Path) -> str:
    folder.mkdir()
    (folder / "reproduce.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "reproduce.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip().splitlines()[-1]


def test_script_makes_the_same_model_from_nothing_but_the_images(workspace: Workspace, tmp_path: Path) -> None:
    trained = model_with(workspace, "names", "carried over")
    script = reproduction(workspace, trained)
    assert (script.model, script.given) == (trained, ())
    assert run_python(script.python, tmp_path / "again") == trained
    first, again = (ConceptModel.load(home.get(trained).path) for home in (workspace, Workspace(tmp_path / "again" / "workspace")))
    assert first.names == again.names
    np.testing.assert_allclose(first.head.weight, again.head.weight, atol=1e-5)


def test_shell_lines_make_the_model_with_a_visitors_edits(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_with(workspace, "recipe")
    own = ConceptModel.load(workspace.get(model).path)
    recipe = own.recipe.append(AblateConcept(5, own.names[5]))
    script = reproduction(workspace, model, recipe)
    assert script.model not in {artifact.id for artifact in workspace.list("model")}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reproduce.sh").write_text(CALLS + script.shell, encoding="utf-8")
    said = subprocess.run(["bash", "reproduce.sh"], capture_output=True, timeout=60, check=True).stdout.decode()
    calls = [call.split("\0")[:-1] for call in said.split("\1\0") if call]
    assert [call[0] for call in calls] == ["embed", "discover", "vocabulary", "embed", "name", "train", "edit", "edit"]
    monkeypatch.setenv("CBM_WORKSPACE", "workspace")
    for call in calls:
        result = CliRunner().invoke(command_line(), call)
        assert result.exit_code == 0, (call, result.output, result.exception)
    made = ConceptModel.load(Workspace(tmp_path / "workspace").get(script.model).path)
    assert made.recipe == recipe


def test_files_are_named_by_their_place_only_where_that_may_be_told(workspace: Workspace, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("cat", "dog"):
        for number in range(3):
            (tmp_path / "pets" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (40 * number, 90, 160)).save(tmp_path / "pets" / name / f"{number}.png")
    made = verbs.embed(tmp_path / "pets", workspace=workspace, device="cpu").embeddings
    from cbm.reproduction.lineage import Lineage
    from cbm.reproduction.scripts import python_script

    shown, hidden = (Lineage(workspace, show_paths) for show_paths in (True, False))
    for lineage in (shown, hidden):
        lineage.require(made)
    assert str(tmp_path / "pets") in python_script(shown.plan, made)
    assert str(tmp_path) not in python_script(hidden.plan, made)
    assert [entry.value for entry in hidden.plan.given] == [None]


def test_recorded_training_leads_back_to_the_arguments() -> None:
    def recorded_for(variant: str, seed: int, **given: object) -> dict[str, Any]:
        part = DICTIONARIES[variant]
        return part.record(part.make_settings(given, 32), seed)

    for given in (
        {"variant": "topk", "width": 96, "k": 5, "epochs": 4, "matryoshka": (0.25, 1.0), "learning_rate": 1e-3, "seed": 3},
        {"variant": "relu-l1", "width": 96, "k": 5, "epochs": None, "matryoshka": None, "learning_rate": None, "seed": 0},
        {"variant": "dn-cbm", "width": 8 * 32, "k": 32, "epochs": 7, "matryoshka": None, "learning_rate": None, "seed": 1},
        {"variant": "kmeans", "width": None, "k": 8, "seed": 4},
    ):
        recorded = json.loads(json.dumps(recorded_for(**given)))  # type: ignore[arg-type]
        back = training_arguments(recorded, 32)
        assert back["variant"] == given["variant"]
        assert json.loads(json.dumps(recorded_for(**back))) == recorded
    recorded = recorded_for("topk", 3, width=96, k=5)
    with pytest.raises(InvalidInputError, match="does not take"):
        training_arguments({**recorded, "averaging": 0.5}, 32)


def test_what_no_verb_made_is_refused(workspace: Workspace) -> None:
    model = ConceptModel.load(workspace.get(model_with(workspace, "recipe")).path)
    from cbm.model.save import write_model

    def write(draft: Draft) -> None:
        write_model(model, draft.path)

    odd = workspace.create("model", {"by": "hand"}, (), write)
    with pytest.raises(InvalidInputError, match="not made by a verb"):
        reproduction(workspace, odd.id)


def test_variables_are_words() -> None:
    assert _word("scenes:shortcut?count=80&seed=0&split=train") == "images_shortcut_train"
    assert _word("my photos (2).zip").isidentifier()
    assert _word("画像").isidentifier()
