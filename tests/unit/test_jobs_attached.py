"""Workers that belong to a program: they come with work, go with the program, and are started again when they crash."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from job_fakes import PATIENCE, child_of, ended, endless, until_gone, vectors, wait

from cbm.jobs import Job, Jobs
from cbm.jobs.attached import MAX_QUICK_DEATHS, Crew
from cbm.jobs.records import MAX_RESUMES
from cbm.workspace.workspace import Workspace

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc, and makes jobs wait with a named pipe"),
    pytest.mark.timeout(600),
]

MakeCrew = Callable[..., Crew]


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path / "workspace"))


@pytest.fixture
def make_crew() -> Iterator[MakeCrew]:
    made: list[Crew] = []

    def make(limit: int = 1, idle_seconds: float = 60.0) -> Crew:
        made.append(Crew(limit, idle_seconds))
        return made[-1]

    yield make
    for crew in made:
        crew.close()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def running(job: Job) -> bool:
    return job.state == "running"


def worker_of(jobs: Jobs) -> int:
    """The number of the process of the one worker."""
    (sign,) = [path for path in jobs.signs.glob("*.lock") if path.read_text()]
    return int(sign.name.partition("-")[0])


def test_a_worker_comes_with_work_leaves_without_and_comes_again(jobs: Jobs, tmp_path: Path, make_crew: MakeCrew) -> None:
    crew = make_crew(idle_seconds=0.5)
    first = jobs.submit("import_vectors", vectors(tmp_path))
    crew.ensure(jobs.workspace.root)
    assert wait(jobs, first, ended).state == "done"
    until(lambda: jobs.workers() == 0)
    second = jobs.submit("import_vectors", vectors(tmp_path, "more.npz"))
    until(lambda: crew.ensure(jobs.workspace.root) is None and jobs.get(second).state == "done")


def test_no_second_worker_where_one_lives(jobs: Jobs, tmp_path: Path, make_crew: MakeCrew) -> None:
    jobs.submit("import_vectors", endless(tmp_path))
    crew, other = make_crew(), make_crew()
    crew.ensure(jobs.workspace.root)
    crew.ensure(jobs.workspace.root)
    until(lambda: jobs.workers() == 1)
    other.ensure(jobs.workspace.root)
    other.ensure(jobs.workspace.root)
    time.sleep(1.0)
    assert jobs.workers() == 1


def test_a_killed_worker_is_replaced_and_its_job_goes_on_and_says_so(jobs: Jobs, tmp_path: Path, make_crew: MakeCrew) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path), title="Read the vectors")
    make_crew().ensure(jobs.workspace.root)
    wait(jobs, stuck, running)
    time.sleep(0.5)
    child = child_of(jobs.get(stuck))
    # The job waits for what it opened; the next attempt finds a file that ends.
    (tmp_path / "endless.npz").unlink()
    vectors(tmp_path, "endless.npz")
    os.kill(worker_of(jobs), signal.SIGKILL)
    until_gone(child)
    job = wait(jobs, stuck, lambda job: job.state == "done")
    assert (job.attempt, job.resumed, job.interruption, job.title) == (2, 1, "died", "Read the vectors")


def test_a_job_that_kills_its_workers_is_given_up_and_the_others_run(
    jobs: Jobs, tmp_path: Path, make_crew: MakeCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = tmp_path / "poison"
    poison.mkdir()
    # A module that Python loads at start: it makes the verb kill the worker that runs it.
    (poison / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'cbm.jobs.child' in ' '.join(sys.orig_argv):\n"
        "    import dataclasses, os; from cbm.registry import VERBS\n"
        "    def evaluate(settings, workspace, run):\n"
        "        os.kill(os.getppid(), 9)\n"
        "        import time; time.sleep(60)\n"
        "    VERBS._loaded['evaluate'] = dataclasses.replace(VERBS['evaluate'], function=evaluate)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(poison))
    deadly = jobs.submit("evaluate", {"model": "model-1", "on": "embeddings-1"})
    after = jobs.submit("import_vectors", vectors(tmp_path))
    crew = make_crew()
    crew.ensure(jobs.workspace.root)
    assert wait(jobs, after, ended).state == "done"
    job = wait(jobs, deadly, lambda job: job.state == "interrupted" and not job.resuming)
    assert (job.attempt, job.resumed) == (1 + MAX_RESUMES, MAX_RESUMES)
    assert f"died {1 + MAX_RESUMES} times" in str(job.error)
    assert crew.trouble(jobs.workspace.root) is None
    assert not jobs.waiting()


def test_a_killed_program_takes_its_worker_along_and_the_next_goes_on(jobs: Jobs, tmp_path: Path, make_crew: MakeCrew) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    code = f"import time; from cbm.jobs.attached import crew; crew().ensure({str(jobs.workspace.root)!r}, stay=True); time.sleep(600)"
    program = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait(jobs, stuck, running)
        time.sleep(0.5)
        worker, child = worker_of(jobs), child_of(jobs.get(stuck))
    finally:
        program.kill()
        program.wait()
    until_gone(child)
    until_gone(worker)
    # Only now, when nobody can be about to open it any more, the file gets an end.
    (tmp_path / "endless.npz").unlink()
    vectors(tmp_path, "endless.npz")
    job = jobs.get(stuck)
    assert (job.state, job.resuming, jobs.workers()) == ("interrupted", True, 0)
    make_crew().ensure(jobs.workspace.root)
    job = wait(jobs, stuck, lambda job: job.state == "done")
    assert (job.attempt, job.resumed, job.interruption) == (2, 0, "stopped")


def test_a_program_that_ends_in_order_leaves_no_worker(jobs: Jobs, tmp_path: Path) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    code = (
        "import sys; from cbm.jobs.attached import crew; "
        f"crew().ensure({str(jobs.workspace.root)!r}, stay=True); print('started', flush=True); sys.stdin.read()"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait(jobs, stuck, running)
    assert program.stdin is not None
    program.stdin.close()
    assert program.wait(PATIENCE) == 0
    assert jobs.workers() == 0
    assert jobs.get(stuck).interruption == "stopped"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_app_starts_its_worker_and_takes_it_along(jobs: Jobs, tmp_path: Path, number: signal.Signals) -> None:
    identifier = jobs.submit("import_vectors", vectors(tmp_path))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "cbm",
        "app",
        "--no-open",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workspace",
        str(jobs.workspace.root),
    ]
    with (tmp_path / "app.log").open("wb") as log:
        app = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log)
    try:
        assert wait(jobs, identifier, ended).state == "done"
        until(lambda: _answers(port))
        assert jobs.workers() == 1
        worker = worker_of(jobs)
    finally:
        app.send_signal(number)
        app.wait(PATIENCE)
    until_gone(worker)
    assert jobs.workers() == 0


def _answers(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
            return True
    except OSError:
        return False


def test_workspaces_take_turns_where_there_is_room_for_one_worker(tmp_path: Path, make_crew: MakeCrew) -> None:
    first, second = Jobs(Workspace(tmp_path / "first")), Jobs(Workspace(tmp_path / "second"))
    stuck = first.submit("import_vectors", endless(tmp_path))
    queued = first.submit("import_vectors", vectors(tmp_path))
    waiting = second.submit("import_vectors", vectors(tmp_path, "more.npz"))
    crew = make_crew(limit=1)
    crew.ensure(first.workspace.root)
    wait(first, stuck, running)
    crew.ensure(second.workspace.root)
    assert (crew.position(first.workspace.root), crew.position(second.workspace.root)) == (0, 1)
    assert second.workers() == 0
    first.cancel(stuck)
    assert wait(second, waiting, ended).state == "done"
    # The one who gave way has its turn after that, without being asked.
    assert wait(first, queued, ended).state == "done"


def test_a_worker_that_cannot_start_is_given_up_with_its_last_words(
    jobs: Jobs, tmp_path: Path, make_crew: MakeCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho started >> $0.count\necho 'no module named cbm'\nexit 1\n")
    broken.chmod(0o755)
    identifier = jobs.submit("import_vectors", vectors(tmp_path))
    crew = make_crew()
    monkeypatch.setattr("cbm.jobs.attached.sys.executable", str(broken))
    crew.ensure(jobs.workspace.root)
    until(lambda: crew.trouble(jobs.workspace.root) == "no module named cbm")
    crew.ensure(jobs.workspace.root)
    time.sleep(0.2)
    assert (tmp_path / "python.count").read_text().count("started") == MAX_QUICK_DEATHS
    monkeypatch.undo()
    crew.ensure(jobs.workspace.root, anew=True)
    assert crew.trouble(jobs.workspace.root) is None
    assert wait(jobs, identifier, ended).state == "done"


def test_a_deleted_workspace_is_not_made_again(jobs: Jobs, tmp_path: Path, make_crew: MakeCrew) -> None:
    stuck = jobs.submit("import_vectors", endless(tmp_path))
    crew = make_crew()
    crew.ensure(jobs.workspace.root)
    wait(jobs, stuck, running)
    until(lambda: (jobs.running / f"{stuck}.lock").is_file())
    worker = worker_of(jobs)
    jobs.workspace.root.rename(tmp_path / "elsewhere")
    os.kill(worker, signal.SIGKILL)
    time.sleep(2.0)
    assert not jobs.workspace.root.exists()


def test_a_workspace_that_is_deleted_while_it_waits_does_not_hold_up_those_behind_it(tmp_path: Path, make_crew: MakeCrew) -> None:
    first, deleted, last = (Jobs(Workspace(tmp_path / name)) for name in ("first", "deleted", "last"))
    stuck = first.submit("import_vectors", endless(tmp_path))
    deleted.submit("import_vectors", vectors(tmp_path))
    waiting = last.submit("import_vectors", vectors(tmp_path, "more.npz"))
    crew = make_crew(limit=1)
    crew.ensure(first.workspace.root)
    wait(first, stuck, running)
    crew.ensure(deleted.workspace.root)
    crew.ensure(last.workspace.root)
    deleted.workspace.root.rename(tmp_path / "elsewhere")
    first.cancel(stuck)
    assert wait(last, waiting, ended).state == "done"
    assert not deleted.workspace.root.exists()
