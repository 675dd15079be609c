"""From the JSON of a request to a verb's arguments, in the job's own process."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest

from cbm.core.run import Run
from cbm.core.settings import from_json
from cbm.demo.pipeline import TINY, Demo, DemoSettings
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.jobs import Jobs
from cbm.jobs.child import EXIT_FAILED, EXIT_STOPPED, _alone
from cbm.jobs.child import run as run_job
from cbm.jobs.liveness import WorkerSign
from cbm.registry import VERBS
from cbm.verbs.base import VerbResult
from cbm.verbs.discover import Discover
from cbm.verbs.edit import Edit
from cbm.verbs.evaluate import Evaluate
from cbm.workspace.workspace import Workspace


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path))


def settings_of(verb: str, parameters: dict[str, object]) -> object:
    return from_json(VERBS[verb].settings, parameters, f"the verb {verb}")


def test_lists_become_tuples_and_objects_become_settings_and_recipes() -> None:
    assert settings_of("discover", {"embeddings": ["a", "b"], "k": 3}) == Discover(("a", "b"), k=3)
    settings = {"free": TINY.free, "train": 17, "epochs": None}
    assert settings_of("demo", {"settings": settings}) == Demo(DemoSettings(free=TINY.free, train=17, epochs=None))
    recipe = {"edits": [{"edit": "ablate_concept", "concept": 4, "name": "sand"}]}
    assert settings_of("edit", {"model": "m", "recipe": recipe}) == Edit("m", Recipe.of(AblateConcept(4, "sand")))
    assert settings_of("edit", {"model": "m", "recipe": "/some/file.json"}) == Edit("m", "/some/file.json")


def test_numbers_stay_as_they_were_written_since_ids_are_digests_of_them() -> None:
    shares = settings_of("discover", {"embeddings": ["a"], "matryoshka": [0.5, 1]}).matryoshka  # type: ignore[attr-defined]
    assert [type(share) for share in shares] == [float, int]


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("demo", {"settings": {"colour": "red"}}, "colour"),
        ("edit", {"model": "model-1", "recipe": {"edits": [{"edit": "explode"}]}}, "explode"),
        ("edit", {"model": "model-1", "recipe": {"edits": []}}, "model-1"),
        ("discover", {"width": 3}, "embeddings"),
        ("train", {"concepts": "concepts-1", "on": "embeddings-1"}, "concepts-1"),
        ("discover", {"embeddings": ["a"], "k": "many"}, 'K of the verb discover must be a whole number, not "many"'),
        ("discover", {"embeddings": ["a"], "k": True}, "must be a whole number, not true"),
        ("discover", {"embeddings": [1]}, "must be text, not 1"),
        ("train", {"concepts": "c", "on": "e", "seed": "x"}, "Seed of the verb train must be a whole number"),
        ("embed", {"source": "a", "space": "l3"}, "l2, raw"),
        ("embed", {"source": "a", "colour": "red"}, "takes no colour"),
    ],
)
def test_what_does_not_fit_fails_with_a_message(jobs: Jobs, kind: str, parameters: dict, message: str) -> None:
    identifier = jobs.submit(kind, parameters)
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    assert run_job(jobs.workspace, identifier, 1, threading.Event()) == EXIT_FAILED
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
    assert run_job(jobs.workspace, identifier, 1, stop) == EXIT_STOPPED
    assert jobs.get(identifier).state == "running"
    sign.close()


def test_the_last_news_of_a_verb_is_not_lost(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(settings: Evaluate, workspace: Workspace, run: Run) -> VerbResult:
        for step in range(5):
            run.report(step + 1, 5, "Measuring", accuracy=0.1 * step)
        return VerbResult()

    monkeypatch.setitem(VERBS._loaded, "evaluate", dataclasses.replace(VERBS["evaluate"], function=evaluate))
    identifier = jobs.submit("evaluate", {"model": "model-1", "on": "embeddings-1"})
    sign = WorkerSign(jobs.signs)
    jobs.claim(sign.name)
    assert run_job(jobs.workspace, identifier, 1, threading.Event()) == 0
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
    other = _alone(jobs.workspace, "job-2")
    assert other is not None
    for lock in (later, other):
        lock.discard()
