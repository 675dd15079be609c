"""The modes and their limits: they hold in Python, whatever a widget says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cbm.core.errors import InvalidInputError
from cbm.jobs import Jobs
from cbm.ui.access import modes, quotas, visitors
from cbm.ui.access.limits import DEMO, HOSTED, LOCAL, MEGABYTE, LimitError, Limits, NotAllowedError, SlidingWindow
from cbm.workspace.workspace import Workspace


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CBM_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("CBM_MODE", raising=False)
    return tmp_path


@pytest.fixture
def demo(local: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CBM_MODE", "demo")
    return local


@pytest.fixture
def hosted(local: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workspace of a visitor; who that is, sessions decide, which have tests of their own."""
    monkeypatch.setenv("CBM_MODE", "hosted")
    root = visitors.enter(local, visitors.new_token())
    monkeypatch.setattr(modes, "_visitor_root", lambda: root)
    monkeypatch.setattr(modes, "put_address", lambda: None)
    return root


def test_mode_is_local_unless_said_otherwise(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert modes.mode() is modes.Mode.LOCAL
    monkeypatch.setenv("CBM_MODE", "")
    assert modes.mode() is modes.Mode.LOCAL
    monkeypatch.setenv("CBM_MODE", "hosted")
    assert modes.mode() is modes.Mode.HOSTED


@pytest.mark.parametrize("asked", ["Demo", "read-only", "hosted "])
def test_wrong_mode_is_refused_with_the_right_ones(local: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setenv("CBM_MODE", asked)
    with pytest.raises(InvalidInputError, match="local, hosted or demo"):
        modes.mode()


UNLIMITED_LOCALLY = {
    *("max_kept_bytes", "max_images", "max_jobs", "max_jobs_of_all", "jobs_per_hour", "encodings_per_hour", "keep_days", "max_visitors"),
    "max_settings",
}


def unlimited(limits: Limits) -> set[str]:
    """The fields that bound nothing."""
    return {field.name for field in dataclasses.fields(limits) if getattr(limits, field.name) in (None, {})}


def test_every_mode_has_all_limits_and_local_has_the_widest() -> None:
    assert unlimited(HOSTED) == set()
    # Nothing is kept in a demo, so nothing is deleted, and it runs no job whose settings could be too large.
    assert unlimited(DEMO) == {"keep_days", "max_visitors", "max_settings"}
    assert unlimited(LOCAL) == UNLIMITED_LOCALLY
    for field in dataclasses.fields(LOCAL):
        if field.name not in UNLIMITED_LOCALLY:
            assert getattr(HOSTED, field.name) <= getattr(LOCAL, field.name), field.name
            assert getattr(DEMO, field.name) <= getattr(LOCAL, field.name), field.name


def _keep_much(root: Path) -> None:
    (root / "uploads").mkdir()
    with (root / "uploads" / "a.zip").open("wb") as file:
        file.truncate(400 * MEGABYTE)
    quotas.check_uploads({"b.zip": MEGABYTE})


def _ask_for_jobs(root: Path) -> None:
    jobs = Jobs(Workspace(root))
    for seed in range(21):
        quotas.check_job({"source": "/anywhere"} if modes.may_use_paths() else {})
        jobs.submit("demo", {"seed": seed})


QUOTAS: Mapping[str, Callable[[Path], object]] = {
    "files": lambda _: quotas.check_uploads({f"{number}.png": MEGABYTE for number in range(5000)}),
    "kept bytes": _keep_much,
    "images": lambda _: quotas.check_images(10**6),
    "characters": lambda _: quotas.check_text("a" * 500),
    "encodings": lambda _: quotas.check_encoding(10**6),
    "jobs": _ask_for_jobs,
    "width": lambda _: quotas.check_job({"width": 10**6}),
}


@pytest.mark.parametrize("quota", QUOTAS)
def test_local_mode_has_no_quota(local: Path, quota: str) -> None:
    assert QUOTAS[quota](local) is None


@pytest.mark.parametrize("quota", QUOTAS)
def test_hosted_mode_refuses_as_much(hosted: Path, quota: str) -> None:
    with pytest.raises(LimitError):
        QUOTAS[quota](hosted)


def test_local_mode_reads_paths_and_writes(local: Path) -> None:
    assert (modes.may_write(), modes.may_use_paths()) == (True, True)
    modes.require_write()
    modes.require_paths()
    quotas.check_job({"source": "/anywhere"})


def test_a_file_that_is_too_large_is_refused_with_the_limit(local: Path) -> None:
    quotas.check_upload("birds.zip", 200 * MEGABYTE)
    with pytest.raises(LimitError, match=r"birds\.zip has 201\.0 MB; a file may have 200 MB"):
        quotas.check_upload("birds.zip", 201 * MEGABYTE)


def test_demo_refuses_whatever_is_kept_and_looks_at_one_picture_only(demo: Path) -> None:
    with pytest.raises(NotAllowedError, match="read-only demo"):
        modes.require_write()
    with pytest.raises(NotAllowedError):
        quotas.check_uploads({"one.png": 10})
    with pytest.raises(NotAllowedError):
        quotas.check_job({})
    with pytest.raises(NotAllowedError):
        modes.require_paths()
    quotas.check_uploads({"one.png": 10}, kept=False)
    with pytest.raises(LimitError, match="single image"):
        quotas.check_uploads({"one.png": 10, "two.png": 10}, kept=False)
    with pytest.raises(LimitError, match="20 MB"):
        quotas.check_uploads({"one.png": 21 * MEGABYTE}, kept=False)
    assert not list(demo.iterdir())


def test_hosted_uploads_share_one_quota(hosted: Path) -> None:
    quotas.check_uploads({"a.zip": 90 * MEGABYTE})
    (hosted / "uploads" / "abc").mkdir(parents=True)
    with (hosted / "uploads" / "abc" / "a.zip").open("wb") as file:
        file.truncate(250 * MEGABYTE)
    with pytest.raises(LimitError, match="holds 250 MB of uploads and may hold 300 MB"):
        quotas.check_uploads({"b.zip": 90 * MEGABYTE})
    quotas.check_uploads({"b.zip": 40 * MEGABYTE})
    quotas.check_uploads({"b.png": 90 * MEGABYTE}, kept=False)


def test_hosted_visitors_bring_so_many_files_and_images(hosted: Path) -> None:
    with pytest.raises(LimitError, match="501 files were chosen; 500 files"):
        quotas.check_uploads({f"{number}.png": 1 for number in range(501)})
    quotas.check_images(3000)
    with pytest.raises(LimitError, match="3,001 images"):
        quotas.check_images(3001)


def test_what_is_typed_has_a_length(hosted: Path) -> None:
    quotas.check_text("a" * 200)
    with pytest.raises(LimitError, match="The name has 201 characters; 200"):
        quotas.check_text("a" * 201, "The name")


def test_writing_makes_the_workspace_the_visitors_own(hosted: Path) -> None:
    assert not modes.owns_workspace()
    modes.require_write()
    assert modes.owns_workspace()


def test_hosted_jobs_read_nothing_outside_the_visitors_workspace(hosted: Path, local: Path) -> None:
    (hosted / "uploads").mkdir()
    quotas.check_job({"source": str(hosted / "uploads" / "abc"), "backbone": "ViT-B-32", "pretrained": "openai", "k": 8, "on": ["name"]})
    for parameters in (
        {"source": "/etc"},
        {"source": str(local / "uploads")},
        {"source": f"{hosted}/uploads/../../../uploads"},
        {"source": "docs"},
        {"pretrained": "~/weights.pt"},
        {"vocabulary": "../names.txt"},
        {"embeddings": ["embeddings-01", "/etc/passwd"]},
    ):
        with pytest.raises(NotAllowedError, match="Upload the images instead"):
            quotas.check_job(parameters)
    quotas.check_job({"pretrained": "a name that no file could have " * 200})


def test_hosted_models_use_only_checkpoints_that_are_offered(hosted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quotas.check_weights("ViT-B-32", "laion2b_s34b_b79k")
    quotas.check_weights("demo", None)
    with pytest.raises(NotAllowedError):
        quotas.check_weights("ViT-B-32", "/srv/weights/model.safetensors")
    monkeypatch.setenv("CBM_CHECKPOINTS", f"/srv/weights:{tmp_path}")
    quotas.check_weights("ViT-B-32", "/srv/weights/model.safetensors")
    with pytest.raises(NotAllowedError):
        quotas.check_weights("ViT-B-32", "/srv/weights/../secret.pt")
    for configuration in ("/srv/secret", "/srv/secret/config.json", "~/models"):
        with pytest.raises(NotAllowedError):
            quotas.check_weights(configuration, "")
    quotas.check_weights("/srv/weights/config.json", None)
    quotas.check_weights("ViT-B/32", "openai")


def test_hosted_jobs_draw_no_more_scenes_than_may_be_uploaded(hosted: Path) -> None:
    quotas.check_job({"source": "scenes:classes?count=100&seed=0&split=train"})
    with pytest.raises(LimitError, match="100,000 images"):
        quotas.check_job({"source": "scenes:classes?count=100000&seed=0&split=train"})


def test_hosted_jobs_are_no_larger_than_the_server_can_bear(hosted: Path) -> None:
    quotas.check_job({"width": 16384, "widths": [512, 1024], "epochs": 100, "seed": 10**9})
    for parameters in ({"width": 10**6}, {"widths": [512, 10**6]}, {"epochs": 10**5}, {"epochs": float("nan")}):
        with pytest.raises(LimitError, match="is the limit here"):
            quotas.check_job(parameters)


def test_so_many_jobs_run_or_wait_for_one_visitor(hosted: Path) -> None:
    jobs = Jobs(Workspace(hosted))
    identifiers = []
    for number in range(4):
        quotas.check_job()
        identifiers.append(jobs.submit("demo", {"seed": number}))
    with pytest.raises(LimitError, match="4 of your jobs"):
        quotas.check_job()
    jobs.cancel(identifiers[0])
    quotas.check_job()


def test_so_many_jobs_an_hour_for_one_visitor(hosted: Path) -> None:
    jobs = Jobs(Workspace(hosted))
    for number in range(20):
        quotas.check_job()
        jobs.cancel(jobs.submit("demo", {"seed": number}))
    with pytest.raises(LimitError, match=r"20 jobs per hour .* Wait 60 minutes"):
        quotas.check_job()


def test_so_many_jobs_for_all_visitors(hosted: Path, local: Path) -> None:
    for number in range(20):
        other = visitors.enter(local, visitors.new_token())
        Jobs(Workspace(other)).submit("demo", {"seed": number})
    with pytest.raises(LimitError, match="busy with the jobs of other visitors"):
        quotas.check_job()


def test_encodings_are_counted_within_an_hour(hosted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "_ENCODINGS", SlidingWindow())
    quotas.check_encoding(599)
    quotas.check_encoding()
    with pytest.raises(LimitError, match="600 texts or images per hour"):
        quotas.check_encoding()


def test_window_slides() -> None:
    now = 0.0
    window = SlidingWindow(60, clock=lambda: now)
    assert window.take("anna", 3, 2) is None
    now = 30.0
    assert window.take("anna", 3) is None
    assert window.take("anna", 3) == 30.0
    assert window.take("bert", 3, 3) is None
    assert window.take("bert", 3, 4) == 60.0
    now = 60.0
    assert window.take("anna", 3, 2) is None
    assert window.take("anna", 3) == 30.0


def test_nobody_has_a_hosted_workspace_outside_a_visit(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "hosted")
    with pytest.raises(NotAllowedError, match="no visitor in this session"):
        modes.workspace_root()


@pytest.mark.parametrize("name", ["options", "settings"])
def test_settings_of_a_part_are_limited_like_those_of_the_verb(hosted: Path, name: str) -> None:
    quotas.check_job({name: {"epochs": 2000, "widths": [16, 32], "note": "/a/b"}})
    with pytest.raises(LimitError, match="epochs is 2,001; 2,000"):
        quotas.check_job({name: {"epochs": 2001}})
    with pytest.raises(LimitError, match="widths is 1,000,000"):
        quotas.check_job({name: {"widths": [16, 10**6]}})
