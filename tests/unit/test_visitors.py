"""Workspaces of a hosted app's visitors: private, begun with the curated artefacts, and gone when nobody comes back."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from cbm.jobs import Jobs
from cbm.ui.access import visitors
from cbm.workspace.workspace import Draft, Workspace

DAY = 24 * 3600.0


def write_text(draft: Draft) -> None:
    (draft.path / "names.txt").write_text("sea\ndesert\n")
    (draft.path / "deeper").mkdir()
    (draft.path / "deeper" / "more.txt").write_text("more")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A curated workspace with one artefact, the demo's record, and things that are nobody else's business."""
    workspace = Workspace(tmp_path / "curated")
    workspace.create("vocabulary", {"names": "some"}, (), write_text)
    (workspace.root / "demo.json").write_text("{}")
    (workspace.root / "uploads").mkdir()
    (workspace.root / "uploads" / "secret.png").write_bytes(b"secret")
    return workspace.root


def away(root: Path, seconds: float) -> None:
    past = time.time() - seconds
    os.utime(root / ".seen", (past, past))


def test_a_workspace_begins_with_what_is_curated_and_nothing_else(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    assert [artifact.id for artifact in Workspace(root).list()] == [artifact.id for artifact in Workspace(base).list()]
    assert (Workspace(root).list()[0].path / "deeper" / "more.txt").read_text() == "more"
    assert (root / "demo.json").read_text() == "{}"
    assert not (root / "uploads").exists()
    assert root.parent == base / "visitors"


def test_nothing_curated_gives_an_empty_workspace(tmp_path: Path) -> None:
    root = visitors.enter(tmp_path / "bare", visitors.new_token())
    assert Workspace(root).list() == []


def test_seeded_files_take_no_room(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    (curated,), (seeded,) = Workspace(base).list(), Workspace(root).list()
    assert (seeded.path / "names.txt").samefile(curated.path / "names.txt")


def test_removing_or_replacing_what_was_seeded_leaves_the_original(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    (artifact,) = Workspace(root).list()
    replacement = root / "new"
    replacement.write_text("mine")
    replacement.replace(artifact.path / "names.txt")
    (root / "demo.json").write_text('{"model": "mine"}')
    (curated,) = Workspace(base).list()
    assert (curated.path / "names.txt").read_text() == "sea\ndesert\n"
    Workspace(root).remove(artifact.id)
    assert [found.id for found in Workspace(base).list()] == [curated.id]
    assert (base / "demo.json").read_text() == "{}"


def test_a_disk_without_hard_links_gets_copies(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    root = visitors.enter(base, visitors.new_token())
    assert (Workspace(root).list()[0].path / "names.txt").read_text() == "sea\ndesert\n"


def test_names_cannot_be_guessed_or_lead_elsewhere(base: Path) -> None:
    token = visitors.new_token()
    root = visitors.enter(base, token)
    assert visitors.find(base, token) == root
    assert len({visitors.new_token() for _ in range(100)}) == 100
    for name in ("", ".", "..", "../artifacts", "/etc", token[:-1], token.upper(), f"{token}/..", f"{token}\n", "0" * 32):
        assert visitors.find(base, name) is None, name
    (base / "visitors" / ("a" * 32)).symlink_to(base)
    assert visitors.find(base, "a" * 32) is None


def test_two_tabs_that_come_at_once_find_one_whole_workspace(base: Path) -> None:
    token = visitors.new_token()
    roots: list[Path] = []
    threads = [threading.Thread(target=lambda: roots.append(visitors.enter(base, token))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(roots) == {base / "visitors" / token}
    assert len(Workspace(roots[0]).list()) == 1
    assert [found.name for found in (base / "visitors").iterdir()] == [token]


def test_those_who_only_looked_are_forgotten_soon_and_the_others_after_days(base: Path) -> None:
    looked, kept, old, fresh = (visitors.enter(base, visitors.new_token()) for _ in range(4))
    visitors.own(kept)
    visitors.own(old)
    away(looked, 3 * 3600)
    away(kept, 3 * DAY)
    away(old, 8 * DAY)
    assert set(visitors.sweep(base, 7)) == {looked.name, old.name}
    assert kept.is_dir()
    assert fresh.is_dir()
    assert not looked.exists()
    assert visitors.count(base) == 2


def test_a_workspace_whose_job_runs_is_not_swept(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    visitors.own(root)
    Jobs(Workspace(root)).submit("demo", {})
    away(root, 30 * DAY)
    assert visitors.sweep(base, 7) == []
    assert visitors.live_jobs(base) == 1


def test_a_visit_is_noted(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    away(root, 100 * DAY)
    visitors.enter(base, root.name)
    assert time.time() - (root / ".seen").stat().st_mtime < 60


def test_what_a_killed_server_left_half_made_is_cleared_away(base: Path) -> None:
    visitors.enter(base, visitors.new_token())
    left = base / "visitors" / ".new-abc"
    left.mkdir()
    visitors.sweep(base, 7)
    assert left.exists()
    past = time.time() - 3 * 3600
    os.utime(left, (past, past))
    visitors.sweep(base, 7)
    assert not left.exists()


def test_deleting_cancels_the_jobs_and_leaves_nothing(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    Jobs(Workspace(root)).submit("demo", {})
    assert visitors.live_jobs(base) == 1
    visitors.delete(root)
    assert not root.exists()
    assert not list((base / "visitors").iterdir())
    assert visitors.live_jobs(base) == 0
    assert Workspace(base).list()


def test_sweeping_comes_now_and_then(base: Path) -> None:
    first = visitors.enter(base, visitors.new_token())
    visitors.sweep_now_and_then(base, 7)
    away(first, 3 * 3600)
    visitors.sweep_now_and_then(base, 7)
    assert first.exists()


def test_curated_artefacts_are_loaded_once_for_everybody(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    (artifact,) = Workspace(base).list()
    own = Workspace(root).create("vocabulary", {"names": "mine"}, (), write_text)
    assert visitors.home_of(str(root), artifact.id) == str(base)
    assert visitors.home_of(str(root), own.id) == str(root)
    assert visitors.home_of(str(base), artifact.id) == str(base)
    Workspace(root).remove(artifact.id)
    assert visitors.home_of(str(root), artifact.id) == str(root)


def test_a_late_worker_cannot_bring_a_deleted_workspace_back(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    visitors.delete(root)
    Jobs(Workspace(root))
    assert visitors.find(base, root.name) is None
    past = time.time() - 3 * 3600
    os.utime(root, (past, past))
    assert visitors.sweep(base, 7) == [root.name]


def test_paths_are_told_from_names(base: Path) -> None:
    root = visitors.enter(base, visitors.new_token())
    for text in ("/etc/passwd", "~/pictures", "../other", "C:\\pictures", "data/../..", str(Path(__file__).parent)):
        assert visitors.is_path(text), text
    for text in ("ViT-B-32", "laion2b_s34b_b79k", "embeddings-0123", "a red bird", "demo", "english"):
        assert not visitors.is_path(text), text
    assert visitors.is_below(root / "uploads" / "abc", root)
    assert not visitors.is_below(base / "uploads", root)
    (root / "link").symlink_to(base)
    assert not visitors.is_below(root / "link" / "uploads", root)


def test_uploads_are_counted_while_others_come_and_go(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = visitors.enter(base, visitors.new_token())
    for name in ("kept", ".upload-1"):
        (root / "uploads" / name).mkdir(parents=True)
        (root / "uploads" / name / "a.png").write_bytes(b"12345")
    look = os.stat

    def published_meanwhile(path: str, **options: object) -> os.stat_result:
        if ".upload-1" in str(path):
            raise FileNotFoundError(path)
        return look(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("cbm.ui.access.visitors.os.stat", published_meanwhile)
    assert visitors.kept_bytes(root) == 5
