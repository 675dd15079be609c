"""The command line as a shell sees it: exit codes, the last line of JSON, errors without tracebacks."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from cbm.cli import main
from cbm.demo.pipeline import Demonstrated
from cbm.workspace.workspace import Workspace

Built = tuple[Workspace, Demonstrated]


def cbm(*arguments: str, workspace: Workspace) -> subprocess.CompletedProcess[str]:
    """The command as its entry point runs it, in this process, which has its libraries loaded already."""
    command, output, errors = ["cbm", *arguments], io.StringIO(), io.StringIO()
    status = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        patch.setattr(sys, "argv", command)
        patch.setenv("CBM_WORKSPACE", str(workspace.root))
        try:
            main()
        except SystemExit as stop:
            status = int(stop.code or 0)
    return subprocess.CompletedProcess(command, status, output.getvalue(), errors.getvalue())


def shell(*arguments: str, workspace: Workspace) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "CBM_WORKSPACE": str(workspace.root)}
    return subprocess.run([sys.executable, "-m", "cbm", *arguments], capture_output=True, text=True, check=False, env=environment)


def last_line(result: subprocess.CompletedProcess[str]) -> dict:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_list_and_show_print_json(built_demo: Built) -> None:
    workspace, result = built_demo
    listed = last_line(shell("list", "model", "--json", workspace=workspace))["artifacts"]
    assert result.model in [artifact["id"] for artifact in listed]
    shown = last_line(cbm("show", result.model.partition("-")[2][:10], "--json", workspace=workspace))
    assert shown["id"] == result.model
    assert result.model in cbm("list", workspace=workspace).stdout


def test_explain_prints_its_contributions(built_demo: Built) -> None:
    workspace, result = built_demo
    record = last_line(cbm("explain", result.model, "0", "--json", "--top", "3", workspace=workspace))
    assert set(record) >= {"prediction", "contributions"}
    assert "prediction" in cbm("explain", result.model, "0", workspace=workspace).stdout


def test_edit_and_export_from_the_shell(demo_copy: Workspace, built_demo: Built, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text('{"edits": [{"edit": "ablate_concept", "concept": 0, "name": "first"}]}')
    edited = last_line(cbm("edit", built_demo[1].model, "--recipe", str(tmp_path / "recipe.json"), "--json", workspace=demo_copy))
    assert set(edited) >= {"model", "accuracy_before", "accuracy_after", "corrected", "newly_wrong", "worst_group"}
    exported = last_line(cbm("export", edited["model"], str(tmp_path / "bundle"), "--json", workspace=demo_copy))
    assert exported["max_abs_difference"] < 1e-5
    assert (tmp_path / "bundle" / "SHA256SUMS").is_file()
    again = last_line(cbm("explain", str(tmp_path / "bundle"), "0", "--json", workspace=demo_copy))
    assert again["prediction"]


def test_remove_refuses_parents(demo_copy: Workspace, built_demo: Built) -> None:
    result = cbm("remove", built_demo[1].dictionary, workspace=demo_copy)
    assert result.returncode == 2
    assert "parent" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "nothing"], "cbm list"),
        (["embed", "/nowhere/at/all"], "does not exist"),
        (["embed", "scenes:classes?count=2", "--backbone", "ViT-B-33"], "ViT-B-32"),
        (["discover", "embeddings-ffff"], "No embeddings"),
        (["list", "pictures"], "kinds are"),
        (["embed", "scenes:classes?count=2", "--batch-size", "0"], "1 or more"),
        (["train", "concepts-ffff", "--on", "x", "--nec", "five"], "--nec"),
    ],
)
def test_mistakes_get_a_message_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = cbm(*arguments, workspace=Workspace(tmp_path))
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistake_ends_the_process_with_exit_code_2(tmp_path: Path) -> None:
    result = shell("show", "nothing", workspace=Workspace(tmp_path))
    assert result.returncode == 2
    assert "cbm list" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_workspace_that_cannot_be_written_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cbm("embed", "scenes:classes?count=2", workspace=Workspace(tmp_path / "file" / "workspace"))
    assert result.returncode == 2
    assert "you have write permission" in result.stderr
    assert "Traceback" not in result.stderr


def test_rejected_files_are_named_with_their_reason_as_they_are_written(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(photos / "good.png")
    (photos / "image[copy].jpg").write_bytes(b"")
    workspace = Workspace(tmp_path / "workspace")
    shown = cbm("embed", str(photos), "--device", "cpu", workspace=workspace).stdout
    assert "image[copy].jpg: " in " ".join(shown.split())
    notes = last_line(cbm("embed", str(photos), "--device", "cpu", "--json", workspace=workspace))["notes"]
    assert len(notes) == 1
    assert notes[0].startswith("image[copy].jpg: ")


def test_ctrl_c_says_that_what_was_finished_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "list", interrupt)
    monkeypatch.setattr(sys, "argv", ["cbm", "list"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert "is kept" in capsys.readouterr().err


def test_help_lists_every_verb(tmp_path: Path) -> None:
    text = shell("--help", workspace=Workspace(tmp_path)).stdout
    verbs = "demo embed import vocabulary discover sweep name build train evaluate explain edit export list show remove app serve worker"
    for verb in verbs.split():
        assert f" {verb} " in text, verb
