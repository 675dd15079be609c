import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.workspace import ModelArtifact
from cbm.workspace.workspace import Draft, Workspace, artifact_id


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def write_note(draft: Draft) -> None:
    (draft.path / "note.txt").write_text("hello")
    draft.metrics["length"] = 5


def test_the_same_request_twice_is_written_once(workspace: Workspace) -> None:
    first = workspace.create("vocabulary", {"words": 3}, [], write_note)
    second = workspace.create("vocabulary", {"words": 3}, [], lambda _: pytest.fail("written again"))
    assert first == second
    assert first.metrics == {"length": 5}
    assert (first.path / "note.txt").read_text() == "hello"


def test_the_id_depends_on_kind_parameters_and_parents_but_not_on_key_order() -> None:
    base = artifact_id("model", {"a": 1, "b": 2}, ["p"])
    assert base == artifact_id("model", {"b": 2, "a": 1}, ["p"])
    assert (
        len(
            {
                base,
                artifact_id("concepts", {"a": 1, "b": 2}, ["p"]),
                artifact_id("model", {"a": 1}, ["p"]),
                artifact_id("model", {"a": 1, "b": 2}),
            }
        )
        == 4
    )


def test_a_failing_writer_leaves_nothing(workspace: Workspace) -> None:
    def fail(draft: Draft) -> None:
        write_note(draft)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        workspace.create("vocabulary", {}, [], fail)
    assert workspace.list() == []
    assert list((workspace.root / "artifacts").iterdir()) == []


def test_a_killed_writer_leaves_nothing_visible(workspace: Workspace) -> None:
    script = (
        "import os, signal, sys\n"
        "from cbm.workspace.workspace import Workspace\n"
        "def write(draft):\n"
        "    (draft.path / 'half').write_text('x')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Workspace(sys.argv[1]).create('vocabulary', {}, [], write)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(workspace.root)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert workspace.list() == []
    assert workspace.create("vocabulary", {}, [], write_note).metrics == {"length": 5}


def test_a_unique_prefix_finds_and_an_ambiguous_one_says_so(workspace: Workspace) -> None:
    made = [workspace.create("vocabulary", {"n": n}, [], write_note) for n in range(20)]
    digits = made[0].id.partition("-")[2]
    assert workspace.get(digits).id == made[0].id
    assert workspace.get(made[0].id).id == made[0].id
    with pytest.raises(NotFoundError, match="give more digits"):
        workspace.get("vocabulary-")
    with pytest.raises(NotFoundError, match="cbm list"):
        workspace.get("zzz")
    with pytest.raises(NotFoundError):
        workspace.get(made[0].id, ModelArtifact)


def test_parents_must_exist_and_cannot_be_removed_first(workspace: Workspace) -> None:
    with pytest.raises(NotFoundError):
        workspace.create("concepts", {}, ["vocabulary-0000000000000000"], write_note)
    parent = workspace.create("vocabulary", {}, [], write_note)
    child = workspace.create("concepts", {}, [parent.id], write_note)
    with pytest.raises(InvalidInputError, match=child.id):
        workspace.remove(parent.id)
    workspace.remove(child.id)
    workspace.remove(parent.id)
    assert workspace.list() == []


def test_a_damaged_record_is_reported_with_its_folder(workspace: Workspace) -> None:
    artifact = workspace.create("vocabulary", {}, [], write_note)
    (artifact.path / "artifact.json").write_text("{")
    with pytest.raises(CorruptArtifactError, match=artifact.id):
        workspace.get(artifact.id)


def test_one_damaged_artefact_does_not_hide_the_others(workspace: Workspace) -> None:
    sound = workspace.create("vocabulary", {"n": 1}, [], write_note)
    broken = workspace.create("vocabulary", {"n": 2}, [], write_note)
    (broken.path / "artifact.json").write_text("{")
    assert [artifact.id for artifact in workspace.list()] == [sound.id]
    assert [broken.id in str(error) for error in workspace.damaged()] == [True]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 1, "kind": "model", "parameters": {"head": "sparse", "recipe": "[]"}, "parents": []},
        {"schema": 1, "kind": "model", "parameters": {"head": "sparse"}, "parents": ["concepts-0123456789abcdef"]},
        {"parents": ["vocabulary-0123456789abcdef"]},
        {"parameters": ["source"]},
    ],
)
def test_a_record_of_another_shape_is_damage_and_no_crash(workspace: Workspace, change: dict[str, object]) -> None:
    artifact = workspace.create("vocabulary", {"source": "a", "names": "b", "backbone": {}, "templates": []}, [], write_note)
    record = json.loads((artifact.path / "artifact.json").read_text())
    (artifact.path / "artifact.json").write_text(json.dumps(record | change))
    assert workspace.list() == []
    assert [artifact.id in str(error) for error in workspace.damaged()] == [True]


def test_a_future_schema_is_refused(workspace: Workspace) -> None:
    artifact = workspace.create("vocabulary", {}, [], write_note)
    record = json.loads((artifact.path / "artifact.json").read_text())
    (artifact.path / "artifact.json").write_text(json.dumps(record | {"schema": 99}))
    with pytest.raises(CorruptArtifactError, match="schema 99"):
        workspace.get(artifact.id)


def test_checkpoints_are_removed_when_the_artefact_is_finished(workspace: Workspace) -> None:
    checkpoints = workspace.checkpoints(artifact_id("vocabulary", {}, []))

    def write(draft: Draft) -> None:
        checkpoints.mkdir(parents=True)
        (checkpoints / "step").write_text("1")
        write_note(draft)

    workspace.create("vocabulary", {}, [], write)
    assert not checkpoints.exists()


def test_the_environment_names_the_default_workspace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CBM_WORKSPACE", os.fspath(tmp_path / "mine"))
    assert Workspace().root == tmp_path / "mine"


def _draft(workspace: Workspace, name: str, age: float, lock: bool) -> Path:
    folder = workspace.root / "artifacts" / f".{name}"
    folder.mkdir(parents=True)
    (folder / "half.bin").write_bytes(b"half")
    paths = [folder / "half.bin", folder]
    if lock:
        paths.append(folder.with_name(f"{folder.name}.lock"))
        paths[-1].touch()
    for path in paths:
        os.utime(path, (time.time() - age, time.time() - age))
    return folder


def test_sweep_removes_what_killed_processes_left(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    kept = workspace.create("vocabulary", {"source": "words"}, (), lambda draft: None)
    left = [
        _draft(workspace, "model-0-killed", 100, lock=True),
        _draft(workspace, "model-1-of_an_old_version", 2 * 24 * 3600, lock=False),
        _draft(workspace, "removed-model-2-77", 0, lock=False),
    ]
    alone = workspace.root / "artifacts" / ".model-3-killed.lock"
    alone.touch()
    os.utime(alone, (time.time() - 100, time.time() - 100))
    assert workspace.sweep() == 3
    assert not any(folder.exists() for folder in left)
    assert [path.name for path in (workspace.root / "artifacts").iterdir()] == [kept.id]


def test_sweep_leaves_living_writers_and_fresh_drafts_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    just_made = _draft(workspace, "model-0-begun", 1, lock=True)
    unlocked = _draft(workspace, "model-1-begun", 3600, lock=False)

    def write(draft: Draft) -> None:
        lock = draft.path.with_name(f"{draft.path.name}.lock")
        assert lock.is_file()
        os.utime(lock, (0, 0))
        assert workspace.sweep() == 0
        (draft.path / "words.txt").write_text("all of them")

    made = workspace.create("vocabulary", {"source": "words"}, (), write)
    assert (made.path / "words.txt").read_text() == "all of them"
    assert just_made.is_dir()
    assert unlocked.is_dir()


def test_a_failed_write_leaves_no_lock(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def write(draft: Draft) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        workspace.create("vocabulary", {"source": "words"}, (), write)
    assert list((workspace.root / "artifacts").iterdir()) == []
