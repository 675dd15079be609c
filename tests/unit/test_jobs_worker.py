"""Workers as real processes: jobs that end well, badly, when asked, and when something is killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_fakes import PATIENCE, child_of, ended, endless, gone, until_gone, vectors, wait

from cbm.jobs import Jobs
from cbm.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc, and makes jobs wait with a named pipe"),
    pytest.mark.timeout(600),
]


@contextlib.contextmanager
def working(workspace: Workspace, *environment: tuple[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "cbm", "worker", "--workspace", str(workspace.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **dict(environment)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path / "workspace"))


def test_a_job_that_another_worker_left_when_it_died_goes_on_beside_a_living_worker(jobs: Jobs, tmp_path: Path) -> None:
    with working(jobs.workspace):
        first = jobs.submit("import_vectors", vectors(tmp_path))
        assert wait(jobs, first, ended).state == "done"
        # What a worker leaves that was killed right after its claim; nobody else tells the living one.
        row = ("job-1", "import_vectors", json.dumps(vectors(tmp_path, "more.npz")), "running", "1-dead", "2026-01-01T00:00:00+00:00")
        with contextlib.closing(sqlite3.connect(jobs.folder / "jobs.db")) as database, database:
            columns = "(digest, id, kind, parameters, state, worker, created)"
            database.execute(f"INSERT INTO jobs {columns} VALUES ('a digest', ?, ?, ?, ?, ?, ?)", row)
        job = wait(jobs, "job-1", lambda job: job.state == "done")
        assert (job.attempt, job.interruption) == (2, "died")


def test_what_the_first_version_left_waiting_and_interrupted_runs(tmp_path: Path) -> None:
    jobs = Jobs(Workspace(tmp_path / "old"))
    shutil.copytree(Path(__file__).parents[1] / "data" / "first_version_jobs", jobs.folder, dirs_exist_ok=True)
    with working(jobs.workspace):
        for title, count, attempt in (("Two scenes", 2, 1), ("Four scenes", 4, 2)):
            (identifier,) = [job.id for job in jobs.list() if job.title == title]
            job = wait(jobs, identifier, lambda job: job.state in ("done", "failed"))
            assert job.state == "done", (job.error, job.log)
            assert job.result is not None
            assert (job.result["count"], job.attempt) == (count, attempt)
        assert not (jobs.folder / "queue.db").exists()


def test_a_worker_runs_what_was_asked_and_says_what_went_wrong(jobs: Jobs, tmp_path: Path) -> None:
    good = jobs.submit("import_vectors", vectors(tmp_path))
    missing = jobs.submit("import_vectors", {**vectors(tmp_path), "source": "/nowhere/at/all.npz"})
    unfitting = jobs.submit("import_vectors", {**vectors(tmp_path), "colour": "red"})
    with working(jobs.workspace):
        done = wait(jobs, good, ended)
        assert done.state == "done", (done.error, done.log)
        assert done.result is not None
        assert done.result["count"] == 7
        assert jobs.workspace.get(done.result["embeddings"]).kind == "embeddings"
        assert done.seconds is not None
        assert done.seconds > 0
        lacking = wait(jobs, missing, ended)
        assert lacking.state == "failed"
        assert "/nowhere/at/all.npz" in str(lacking.error)
        assert "Traceback" not in str(lacking.error)
        wrong = wait(jobs, unfitting, ended)
        assert wrong.state == "failed"
        assert "colour" in str(wrong.error)
        assert "classes" in str(wrong.error)


def test_cancel_ends_a_verb_that_does_not_listen_and_the_next_job_runs(jobs: Jobs, tmp_path: Path) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    after = jobs.submit("import_vectors", vectors(tmp_path))
    with working(jobs.workspace):
        job = wait(jobs, stuck, lambda job: job.state == "running")
        assert jobs.submit("import_vectors", dict(job.parameters)) == stuck
        assert jobs.get(after).state == "queued"
        assert jobs.cancel(stuck).cancelling
        assert wait(jobs, stuck, ended).state == "cancelled"
        assert wait(jobs, after, ended).state == "done"


def test_a_killed_job_is_seen_and_said_and_the_worker_goes_on(jobs: Jobs, tmp_path: Path) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    after = jobs.submit("import_vectors", vectors(tmp_path))
    with working(jobs.workspace):
        wait(jobs, stuck, lambda job: job.state == "running")
        time.sleep(0.5)
        os.kill(child_of(jobs.get(stuck)), signal.SIGKILL)
        job = wait(jobs, stuck, ended)
        assert job.state == "interrupted"
        assert "memory" in str(job.error)
        assert wait(jobs, after, ended).state == "done"


def test_a_killed_worker_leaves_an_interrupted_job_that_runs_again(jobs: Jobs, tmp_path: Path) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    waiting = jobs.submit("import_vectors", vectors(tmp_path, "more.npz"))
    with working(jobs.workspace) as worker:
        wait(jobs, stuck, lambda job: job.state == "running")
        time.sleep(0.5)
        child = child_of(jobs.get(stuck))
        assert jobs.workers() == 1
        worker.kill()
        worker.wait()
        until_gone(child)
    assert jobs.workers() == 0
    assert jobs.get(stuck).state == "interrupted"
    assert jobs.get(waiting).state == "queued"
    (tmp_path / "endless.npz").unlink()
    vectors(tmp_path, "endless.npz")
    assert jobs.retry(stuck) == stuck
    with working(jobs.workspace):
        assert wait(jobs, waiting, ended).state == "done"
        again = wait(jobs, stuck, ended)
        assert (again.state, again.attempt, again.error) == ("done", 2, None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_end_takes_its_job_along(jobs: Jobs, tmp_path: Path, number: signal.Signals) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    with working(jobs.workspace) as worker:
        wait(jobs, stuck, lambda job: job.state == "running")
        time.sleep(0.5)
        child = child_of(jobs.get(stuck))
        worker.send_signal(number)
        assert worker.wait(PATIENCE) == 0
        assert gone(child)
    job = jobs.get(stuck)
    assert job.state == "interrupted"
    assert "worker was stopped" in str(job.error)
    assert jobs.workers() == 0


def test_embedding_reports_progress_stops_when_asked_and_goes_on(jobs: Jobs) -> None:
    request = {"source": "scenes:free?count=2500&seed=3&split=train", "device": "cpu"}
    identifier = jobs.submit("embed", request)
    with working(jobs.workspace):
        job = wait(jobs, identifier, lambda job: ended(job) or job.progress.done > 64)
        assert job.state == "running", (job.error, job.log)
        assert job.message
        assert 0 < job.fraction < 1
        jobs.cancel(identifier)
        assert wait(jobs, identifier, ended).state == "cancelled"
        smaller = jobs.submit("embed", {**request, "source": "scenes:free?count=64&seed=3&split=train"})
        done = wait(jobs, smaller, ended)
        assert done.state == "done", (done.error, done.log)
        assert done.result is not None
        assert done.result["reused"] > 0


def test_an_unexpected_error_is_said_in_one_line_and_kept_in_the_log(jobs: Jobs, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    # A module that Python loads at start: it makes the verb raise what no verb should raise.
    (broken / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'cbm.jobs.child' in ' '.join(sys.orig_argv):\n"
        "    import dataclasses; from cbm.registry import VERBS\n"
        "    def evaluate(settings, workspace, run):\n"
        "        print('about to divide')\n"
        "        return 1 / 0\n"
        "    VERBS._loaded['evaluate'] = dataclasses.replace(VERBS['evaluate'], function=evaluate)\n"
    )
    identifier = jobs.submit("evaluate", {"model": "model-1", "on": "embeddings-1"})
    root = str(Path(__file__).parents[2])
    with working(jobs.workspace, ("PYTHONPATH", os.pathsep.join([str(broken), root]))):
        job = wait(jobs, identifier, ended)
    assert job.state == "failed"
    assert "ZeroDivisionError" in str(job.error)
    assert "Traceback" not in str(job.error)
    assert "about to divide" in job.log
    assert "Traceback" in job.log
