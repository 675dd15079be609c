"""What the table of jobs promises to those who submit and watch, without a worker."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.core.progress import Progress
from cbm.jobs import Job, Jobs, table
from cbm.jobs.liveness import WorkerSign
from cbm.jobs.records import MAX_RESUMES
from cbm.workspace.workspace import Workspace

REQUEST = {"source": "/somewhere/vectors.npz", "backbone": "ViT-B-32", "pretrained": "openai"}


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path))


@pytest.fixture
def sign(jobs: Jobs) -> Iterator[WorkerSign]:
    sign = WorkerSign(jobs.signs)
    yield sign
    sign.close()


def end(jobs: Jobs, sign: WorkerSign, identifier: str, state: str, **outcome: object) -> None:
    attempt = jobs.get(identifier).attempt
    assert jobs.claim(sign.name)
    assert jobs.finish(identifier, attempt, state, **outcome)  # type: ignore[arg-type]


def test_a_submitted_job_waits_with_what_was_asked(jobs: Jobs) -> None:
    job = jobs.get(jobs.submit("import_vectors", REQUEST))
    assert (job.state, job.kind, job.parameters, job.attempt) == ("queued", "import_vectors", REQUEST, 1)
    assert job.live
    assert job.seconds is None
    assert job.fraction == 0


def test_equal_requests_join_whatever_the_order_of_their_parameters(jobs: Jobs) -> None:
    first = jobs.submit("import_vectors", REQUEST)
    assert jobs.submit("import_vectors", dict(reversed(REQUEST.items()))) == first
    assert jobs.submit("import_vectors", {**REQUEST, "pretrained": "other"}) != first
    assert len(jobs.list()) == 2


def test_equal_requests_from_many_threads_make_one_job(jobs: Jobs) -> None:
    found: list[str] = []
    together = threading.Barrier(6)

    def submit() -> None:
        mine = Jobs(jobs.workspace)
        together.wait()
        found.append(mine.submit("import_vectors", REQUEST))

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == len(jobs.list()) == 1


def test_a_request_after_the_end_is_a_new_job(jobs: Jobs, sign: WorkerSign) -> None:
    first = jobs.submit("import_vectors", REQUEST)
    end(jobs, sign, first, "done", result={"count": 3})
    second = jobs.submit("import_vectors", REQUEST)
    assert second != first
    assert [job.id for job in jobs.list()] == [second, first]
    assert jobs.get(first).result == {"count": 3}
    assert jobs.get(first).fraction == 1


def test_a_request_does_not_join_a_job_that_is_being_cancelled(jobs: Jobs, sign: WorkerSign) -> None:
    first = jobs.submit("import_vectors", REQUEST)
    jobs.claim(sign.name)
    assert jobs.cancel(first).cancelling
    assert jobs.submit("import_vectors", REQUEST) != first


def test_a_waiting_job_is_cancelled_at_once_and_never_taken(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    assert jobs.cancel(identifier).state == "cancelled"
    assert not jobs.claim(sign.name)
    assert jobs.get(identifier).state == "cancelled"


def test_only_one_worker_takes_a_job(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    other = WorkerSign(jobs.signs)
    job = jobs.claim(sign.name)
    assert job is not None
    assert job.id == identifier
    assert jobs.claim(other.name) is None
    other.close()


def test_a_job_whose_worker_is_gone_is_interrupted_and_can_be_retried(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    jobs.claim(sign.name)
    jobs.report(identifier, 1, Progress(3, 4, "Reading", {"loss": 0.5}))
    assert jobs.get(identifier).state == "running"
    assert jobs.get(identifier).fraction == 0.75
    assert jobs.get(identifier).figures == {"loss": 0.5}
    sign.close()
    job = jobs.get(identifier)
    assert job.state == "interrupted"
    assert "run it again" in str(job.error)
    assert jobs.retry(identifier) == identifier
    again = jobs.get(identifier)
    assert (again.state, again.attempt, again.error, again.message) == ("queued", 2, None, "")


def test_a_latecomer_cannot_write_over_a_newer_attempt(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    end(jobs, sign, identifier, "failed", error="too bad")
    jobs.retry(identifier)
    jobs.claim(sign.name)
    jobs.report(identifier, 1, Progress(9, 10, "from the past"))
    assert not jobs.finish(identifier, 1, "done", result={})
    assert jobs.get(identifier).state == "running"
    assert jobs.get(identifier).message == "Starting"


def test_retry_refuses_what_has_not_ended_or_is_done(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    with pytest.raises(InvalidInputError, match="queued"):
        jobs.retry(identifier)
    end(jobs, sign, identifier, "done", result={})
    with pytest.raises(InvalidInputError, match="done"):
        jobs.retry(identifier)


def test_retry_joins_an_equal_request_that_is_waiting(jobs: Jobs, sign: WorkerSign) -> None:
    first = jobs.submit("import_vectors", REQUEST)
    end(jobs, sign, first, "failed", error="too bad")
    second = jobs.submit("import_vectors", REQUEST)
    assert jobs.retry(first) == second


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        ("explode", {}, "Unknown kind"),
        ("embed", {"source": Path("/x")}, "Give paths as text"),
        ("embed", {"source": "/x", "share": float("nan")}, "JSON"),
        ("embed", {"source": "/x", "workspace": "/y"}, "set by the worker"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(jobs: Jobs, kind: str, parameters: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        jobs.submit(kind, parameters)
    assert jobs.list() == []


def test_jobs_of_a_deleted_workspace_are_told_gone_and_not_made_again(jobs: Jobs) -> None:
    identifier = jobs.submit("demo", {})
    shutil.rmtree(jobs.workspace.root)
    for ask in (jobs.list, jobs.live, lambda: jobs.get(identifier), lambda: jobs.cancel(identifier)):
        with pytest.raises(NotFoundError, match="deleted"):
            ask()
    assert not jobs.workspace.root.exists()


def test_unknown_jobs_are_not_found(jobs: Jobs) -> None:
    for verb in (jobs.get, jobs.cancel, jobs.retry):
        with pytest.raises(NotFoundError):
            verb("job-0")


def test_jobs_outlive_the_object_that_submitted_them(jobs: Jobs) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    found: list[Job] = Jobs(jobs.workspace).list()
    assert [job.id for job in found] == [identifier]


def test_workers_are_counted_while_they_live(jobs: Jobs) -> None:
    assert jobs.workers() == 0
    first, second = WorkerSign(jobs.signs), WorkerSign(jobs.signs)
    assert jobs.workers() == 2
    first.close()
    assert jobs.workers() == 1
    second.close()
    assert jobs.workers() == 0


def test_there_is_one_database_and_it_holds_no_code(jobs: Jobs) -> None:
    jobs.submit("import_vectors", REQUEST)
    assert [path.name for path in jobs.folder.iterdir() if path.is_file()] == ["jobs.db"]
    with contextlib.closing(sqlite3.connect(jobs.folder / "jobs.db")) as database:
        (parameters,) = database.execute("SELECT parameters FROM jobs").fetchone()
    assert parameters == '{"backbone": "ViT-B-32", "pretrained": "openai", "source": "/somewhere/vectors.npz"}'


def test_jobs_run_in_the_order_of_their_requests(jobs: Jobs, sign: WorkerSign) -> None:
    expected = [jobs.submit("import_vectors", {**REQUEST, "pretrained": str(number)}) for number in range(4)]
    ran = []
    while (job := jobs.claim(sign.name)) is not None:
        ran.append(job.id)
        assert (job.state, job.parameters["pretrained"], job.attempt) == ("running", str(len(ran) - 1), 1)
        jobs.finish(job.id, job.attempt, "done", result={})
    assert ran == expected


def test_a_job_that_runs_again_keeps_its_place(jobs: Jobs, sign: WorkerSign) -> None:
    first = jobs.submit("embed", {"source": "/x"})
    end(jobs, sign, first, "failed", error="too bad")
    second = jobs.submit("embed", {"source": "/y"})
    jobs.retry(first)
    assert [jobs.ahead(jobs.get(job)) for job in (first, second)] == [0, 1]
    claimed = [jobs.claim(sign.name), jobs.claim(sign.name), jobs.claim(sign.name)]
    assert [job and (job.id, job.attempt) for job in claimed] == [(first, 2), (second, 1), None]


CLAIM_ALL = """
import sys
from cbm.jobs import Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.workspace.workspace import Workspace

jobs = Jobs(Workspace(sys.argv[1]))
sign = WorkerSign(jobs.signs)
print("ready", flush=True)
sys.stdin.readline()
while (job := jobs.claim(sign.name)) is not None:
    print(job.id, flush=True)
    jobs.finish(job.id, job.attempt, "done", result={})
"""


def test_several_processes_that_claim_from_one_table_run_each_job_once(jobs: Jobs) -> None:
    expected = [jobs.submit("embed", {"source": f"/{number}"}) for number in range(60)]
    command = [sys.executable, "-c", CLAIM_ALL, str(jobs.workspace.root)]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    claimed = [worker.communicate()[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert Counter(job for jobs_of_one in claimed for job in jobs_of_one) == Counter(expected)
    assert sum(bool(jobs_of_one) for jobs_of_one in claimed) > 1, "they did not compete"
    assert {job.state for job in jobs.list()} == {"done"}


def test_a_submitter_that_is_killed_leaves_whole_jobs_that_can_be_claimed(jobs: Jobs, sign: WorkerSign) -> None:
    submit_for_ever = (
        "import itertools, sys\n"
        "from cbm.jobs import Jobs\n"
        "from cbm.workspace.workspace import Workspace\n"
        "jobs = Jobs(Workspace(sys.argv[1]))\n"
        "for number in itertools.count():\n"
        "    print(jobs.submit('embed', {'source': str(number)}), flush=True)\n"
    )
    command = [sys.executable, "-c", submit_for_ever, str(jobs.workspace.root)]
    submitter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert submitter.stdout is not None
    told = [submitter.stdout.readline().strip() for _ in range(20)]
    submitter.kill()
    told += submitter.communicate()[0].split()
    claimed = []
    while (job := jobs.claim(sign.name)) is not None:
        claimed.append(job.id)
    # It may have been killed between the submission and the word about it.
    assert claimed[: len(told)] == told
    assert len(claimed) <= len(told) + 1


def test_who_watches_hears_of_every_change_by_others_once(jobs: Jobs, sign: WorkerSign) -> None:
    with jobs.watching() as changed:
        assert [changed(), changed()] == [True, False]
        other = Jobs(jobs.workspace)
        other.submit("embed", {"source": "/x"})
        assert [changed(), changed()] == [True, False]
        assert jobs.claim(sign.name)
        assert [changed(), changed()] == [True, False]
        assert jobs.claim(sign.name) is None
        assert not changed(), "a claim of nothing is no change, or idle workers would keep each other awake"


def test_a_title_is_kept_and_a_joined_job_keeps_its_own(jobs: Jobs) -> None:
    identifier = jobs.submit("import_vectors", REQUEST, title="Vectors  of\nthe zoo")
    assert jobs.get(identifier).title == "Vectors of the zoo"
    assert jobs.submit("import_vectors", REQUEST, title="Another name") == identifier
    assert [job.title for job in jobs.list()] == ["Vectors of the zoo"]


def test_lists_leave_logs_out_and_they_can_be_had(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    jobs.claim(sign.name)
    jobs.keep_log(identifier, 1, "reading\nwriting\n")
    assert [job.log for job in jobs.list()] == [""]
    assert jobs.log(identifier) == jobs.get(identifier).log == "reading\nwriting\n"
    with pytest.raises(NotFoundError):
        jobs.log("job-0")


def test_a_table_of_an_earlier_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    database = sqlite3.connect(tmp_path / "jobs" / "jobs.db")
    database.executescript(table._SCHEMA)
    insert = "INSERT INTO jobs (id, digest, kind, parameters, state, created) VALUES (?, ?, 'embed', '{}', ?, '2026-01-01T00:00:00+00:00')"
    database.executemany(insert, [("job-1", "a", "done"), ("job-2", "b", "failed")])
    database.commit()
    database.close()
    threads = [threading.Thread(target=Jobs, args=(Workspace(tmp_path),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs = Jobs(Workspace(tmp_path))
    assert [(job.id, job.title, job.resumed, job.interruption) for job in jobs.list()] == [("job-2", "", 0, ""), ("job-1", "", 0, "")]
    assert jobs.retry("job-2") == "job-2"
    assert jobs.history("job-1") == []


def test_the_table_of_the_first_version_opens_with_all_that_it_held(tmp_path: Path, sign: WorkerSign) -> None:
    shutil.copytree(Path(__file__).parents[1] / "data" / "first_version_jobs", tmp_path / "old" / "jobs")
    jobs = Jobs(Workspace(tmp_path / "old"))
    found = {job.title or job.state: job for job in jobs.list()}
    assert {name: job.state for name, job in found.items()} == {
        "Three scenes": "done",
        "Vectors of nowhere": "failed",
        "cancelled": "cancelled",
        "Four scenes": "interrupted",
        "Two scenes": "queued",
    }
    result = found["Three scenes"].result
    assert result is not None
    assert (result["embeddings"], result["count"]) == ("embeddings-6d505b89749dc1ea", 3)
    assert [dict(reported.figures) for reported in jobs.history(found["Three scenes"].id)] == [
        {"images_per_second": 27.81366177952131, "encoded": 3.0, "rejected": 0.0}
    ]
    assert str(found["Vectors of nowhere"].error).startswith("There is no /nowhere/at/all.npz")
    assert found["Four scenes"].resuming
    # An equal request joins the one that waits, so requests are still spelled the same.
    assert jobs.submit("embed", found["Two scenes"].parameters) == found["Two scenes"].id


def test_a_waiting_job_knows_how_many_come_first(jobs: Jobs, sign: WorkerSign) -> None:
    first, second, third = (jobs.submit("embed", {"source": source}) for source in ("/x", "/y", "/z"))
    assert [jobs.ahead(jobs.get(job)) for job in (first, second, third)] == [0, 1, 2]
    jobs.claim(sign.name)
    jobs.cancel(second)
    assert [jobs.ahead(jobs.get(job)) for job in (first, second, third)] == [0, 0, 1]


def test_a_job_whose_worker_died_goes_on_by_itself_but_not_for_ever(jobs: Jobs) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    for death in range(1, MAX_RESUMES + 2):
        worker = WorkerSign(jobs.signs)
        assert jobs.claim(worker.name)
        worker.close()
        job = jobs.get(identifier)
        assert (job.state, job.interruption) == ("interrupted", "died")
        assert job.resuming == jobs.waiting() == (death <= MAX_RESUMES)
        assert list(jobs.resume_orphans()) == ([identifier] if death <= MAX_RESUMES else [])
    assert f"died {MAX_RESUMES + 1} times" in str(jobs.get(identifier).error)
    assert jobs.retry(identifier) == identifier
    again = jobs.get(identifier)
    assert (again.state, again.resumed, again.interruption) == ("queued", 0, "")


def test_a_job_of_its_own_fault_is_not_resumed(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    worker = WorkerSign(jobs.signs)
    jobs.claim(worker.name)
    worker.close()
    assert jobs.resume_orphans() == [identifier]
    jobs.claim(sign.name)
    jobs.finish(identifier, 2, "interrupted", error="out of memory")
    assert not jobs.get(identifier).resuming
    assert jobs.resume_orphans() == []


def test_a_job_about_to_go_on_can_be_cancelled(jobs: Jobs) -> None:
    identifier = jobs.submit("import_vectors", REQUEST)
    worker = WorkerSign(jobs.signs)
    jobs.claim(worker.name)
    worker.close()
    assert jobs.get(identifier).resuming
    assert jobs.cancel(identifier).state == "cancelled"
    assert jobs.resume_orphans() == []


def test_an_interrupted_job_gives_way_to_the_same_request_made_anew(jobs: Jobs) -> None:
    first = jobs.submit("import_vectors", REQUEST)
    worker = WorkerSign(jobs.signs)
    jobs.claim(worker.name)
    worker.close()
    second = jobs.submit("import_vectors", REQUEST)
    assert jobs.resume_orphans() == []
    job = jobs.get(first)
    assert not job.resuming
    assert second in str(job.error)
    assert jobs.get(second).state == "queued"


def test_the_newest_of_some_kinds_unless_another_is_asked_for(jobs: Jobs) -> None:
    first = jobs.submit("embed", {"source": "/x"})
    second = jobs.submit("embed", {"source": "/y"})
    other = jobs.submit("import_vectors", REQUEST)

    def newest(*kinds: str, prefer: str | None = None) -> str | None:
        found = jobs.newest(kinds, prefer)
        return None if found is None else found.id

    assert newest("embed") == second
    assert newest("embed", "import_vectors") == other
    assert newest("embed", prefer=first) == first
    assert newest("embed", prefer=other) == second
    assert newest("export") is newest() is None
