"""From the JSON of a request to a verb's arguments, in the job's own process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cbm.core.progress import Progress
from cbm.demo.pipeline import TINY, DemoSettings
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.jobs import Jobs
from cbm.jobs.child import EXIT_FAILED, EXIT_STOPPED, _alone, _from_json, run
from cbm.jobs.liveness import WorkerSign
from cbm.verbs.results import VerbResult
from cbm.workspace.workspace import Workspace


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path))


def test_lists_become_tuples_and_objects_become_settings_and_recipes() -> None:
    assert _from_json("discover", {"embeddings": ["a", "b"], "k": 3}) == {"embeddings": ("a", "b"), "k": 3}
    settings = {"free": TINY.free, "train": 17, "epochs": None}
    assert _from_json("demo", {"settings": settings}) == {"settings": DemoSettings(**settings)}
    recipe = {"edits": [{"edit": "ablate_concept", "concept": 4, "name": "sand"}]}
    assert _from_json("edit", {"recipe": recipe}) == {"recipe": Recipe.of(AblateConcept(4, "sand"))}
    assert _from_json("edit", {"recipe": "/some/file.json"}) == {"recipe": "/some/file.json"}


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("demo", {"settings": {"colour": "red"}}, "colour"),
        ("edit", {"model": "model-1", "recipe": {"edits": [{"edit": "explode"}]}}, "explode"),
        ("edit", {"model": "model-1", "recipe": {"edits": []}}, "model-1"),
        ("discover", {"width": 3}, "embeddings"),
        ("train", {"concepts": "concepts-1", "on": "embeddings-1"}, "concepts-1"),
    ],
)
def test_what_does_not_fit_fails_with_a_message(jobs: Jobs, kind: str, parameters: dict, message: str) -> None:
    identifier = jobs.submit(kind, parameters)
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    assert run(jobs.workspace, identifier, 1, threading.Event()) == EXIT_FAILED
    job = jobs.get(identifier)
    assert job.state == "failed"
    assert message in str(job.error)
    sign.close()


def test_a_job_that_is_asked_to_stop_leaves_its_end_to_the_worker(jobs: Jobs) -> None:
    identifier = jobs.submit("demo", {"settings": {"free": 8}})
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    stop = threading.Event()
    stop.set()
    assert run(jobs.workspace, identifier, 1, stop) == EXIT_STOPPED
    assert jobs.get(identifier).state == "running"
    sign.close()


def test_the_last_news_of_a_verb_is_not_lost(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(model: str, on: str, *, progress: Callable[[Progress], None]) -> VerbResult:
        for step in range(5):
            progress(Progress(step + 1, 5, "Measuring", {"accuracy": 0.1 * step}))
        return VerbResult()

    monkeypatch.setattr("cbm.verbs.evaluate", evaluate, raising=False)
    identifier = jobs.submit("evaluate", {"model": "model-1", "on": "embeddings-1"})
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    assert run(jobs.workspace, identifier, 1, threading.Event()) == 0
    job = jobs.get(identifier)
    assert (job.state, job.progress.done, job.figures) == ("done", 5, {"accuracy": 0.4})
    sign.close()


def test_an_attempt_waits_until_the_earlier_one_has_ended(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = _alone(jobs.workspace, "job-1")
    assert earlier is not None
    threading.Timer(0.5, earlier.discard).start()
    later = _alone(jobs.workspace, "job-1")
    assert later is not None
    monkeypatch.setattr("cbm.jobs.child.ALONE_SECONDS", 0.2)
    assert _alone(jobs.workspace, "job-1") is None
    assert _alone(jobs.workspace, "job-2") is not None
    later.discard()
