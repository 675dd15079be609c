"""The page of jobs in every state, and the panel that other pages show a job with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.core.progress import Progress
from cbm.jobs import Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.workspace.workspace import Workspace

EMBED = {"source": "/pictures/birds", "backbone": "demo"}


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path / "workspace"))


@pytest.fixture
def sign(jobs: Jobs) -> Iterator[WorkerSign]:
    sign = WorkerSign(jobs.signs)
    yield sign
    sign.close()


def running(jobs: Jobs, sign: WorkerSign, title: str = "Encode the birds", kind: str = "embed", **parameters: object) -> str:
    identifier = jobs.submit(kind, parameters or EMBED, title=title)
    assert jobs.claim(sign.name)
    return identifier


def shown(app: AppTest) -> str:
    """All that can be read on the page."""
    boxes = (app.title, app.subheader, app.markdown, app.caption, app.error, app.warning, app.info, app.code)
    return "\n".join([*(element.value for box in boxes for element in box), *(bar.text for bar in app.progress)])


def test_an_empty_workspace_teaches_what_jobs_are(open_app: OpenApp, jobs: Jobs) -> None:
    app = open_app("jobs", jobs.workspace.root)
    assert "No long work yet" in shown(app)
    assert "You can close the page meanwhile" in shown(app)


def test_a_running_job_says_how_far_it_is(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    identifier = running(jobs, sign)
    jobs.report(identifier, 1, Progress(30, 120, "Embedding birds", {"images_per_second": 41.3, "rejected": 2.0}))
    waiting = jobs.submit("embed", {**EMBED, "source": "/pictures/fish"}, title="Encode *the* fish")
    app = open_app("jobs", jobs.workspace.root)
    text = shown(app)
    assert "Embedding birds" in text
    assert "25% · running for" in text
    assert "41 images/s · 2 files rejected" in text
    assert r"Encode \*the\* fish" in text
    assert "Waiting: 1 job first" in text
    assert {button.key for button in app.button} >= {f"live-{identifier}-cancel", f"live-{waiting}-cancel", f"open-{identifier}"}


def test_cancel_is_shown_at_once_and_the_job_can_be_resumed(open_app: OpenApp, jobs: Jobs, sign: WorkerSign, no_workers: list[str]) -> None:
    identifier = running(jobs, sign)
    app = open_app("jobs", jobs.workspace.root)
    app.button(key=f"live-{identifier}-cancel").click().run()
    assert app.button(key=f"live-{identifier}-cancel").label == "Cancelling …"
    assert app.button(key=f"live-{identifier}-cancel").disabled
    assert "Cancelling …" in shown(app)
    jobs.finish(identifier, 1, "cancelled")
    app.run()
    assert app.button(key=f"ended-{identifier}-retry").label == "Resume"
    no_workers.clear()
    app.button(key=f"ended-{identifier}-retry").click().run()
    assert jobs.get(identifier).state == "queued"
    assert jobs.get(identifier).attempt == 2
    assert str(jobs.workspace.root) in no_workers
    assert "Waiting for a worker to start" in shown(app)


def test_a_failed_job_says_why_and_can_be_retried(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    identifier = running(jobs, sign)
    jobs.keep_log(identifier, 1, "opening /pictures/birds\n")
    jobs.finish(identifier, 1, "failed", error="The folder /pictures/birds is empty; choose another.")
    app = open_app("jobs", jobs.workspace.root)
    assert "The folder /pictures/birds is empty; choose another." in shown(app)
    app.button(key=f"open-{identifier}").click().run()
    assert app.query_params["job"] == identifier
    assert "opening /pictures/birds" in shown(app)
    assert app.button(key="job-retry").label == "Retry"
    app.button(key="job-retry").click().run()
    assert jobs.get(identifier).state == "queued"
    assert not app.exception


def test_a_job_that_is_done_sums_up_and_leads_to_its_result(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    identifier = running(jobs, sign)
    jobs.finish(identifier, 1, "done", result={"embeddings": "embeddings-1", "count": 2465, "reused": 0, "rejected": 1})
    app = open_app("jobs", jobs.workspace.root)
    assert "2,465 images, 1 file rejected" in shown(app)
    (link,) = [link.proto for link in app.main.get("page_link") if link.proto.label == "Open the images"]
    assert link.page == "data"
    assert f"job={identifier}" in link.query_string
    assert "retry" not in " ".join(button.key or "" for button in app.button)


def test_the_address_opens_a_job_and_an_unknown_one_is_said(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    identifier = running(jobs, sign, "Discover concepts", "discover", embeddings=["embeddings-1"], width=4096)
    for seconds in (5, 10, 15):
        with jobs._connection() as database:
            database.execute("UPDATE jobs SET worked = ?", (seconds,))
        jobs.report(identifier, 1, Progress(seconds, 20, "Training the dictionary", {"fvu": 1 / seconds, "l0": 8.0}))
    app = open_app("jobs", jobs.workspace.root, job=identifier)
    text = shown(app)
    assert "Request" in text
    assert "4096" in text
    assert {chart.proto.id for chart in app.get("plotly_chart")}
    assert len(app.get("plotly_chart")) == 2
    app.button(key="close_job").click().run()
    assert "job" not in app.query_params
    missing = open_app("jobs", jobs.workspace.root, job="job-0")
    assert "There is no job 'job-0'" in missing.error[0].value
    assert "Discover concepts" in shown(missing)


def test_a_visitor_who_waits_for_others_sees_how_many(open_app: OpenApp, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbm.jobs.attached.Crew.position", lambda *_: 2)
    identifier = jobs.submit("embed", EMBED)
    assert "Waiting for a free slot: 2 visitors first" in shown(open_app("jobs", jobs.workspace.root))
    assert "Waiting for a free slot: 2 visitors first" in shown(open_app("jobs", jobs.workspace.root, job=identifier))


def test_a_dead_worker_is_said_and_another_is_asked_for(open_app: OpenApp, jobs: Jobs, no_workers: list[str]) -> None:
    worker = WorkerSign(jobs.signs)
    identifier = running(jobs, worker)
    worker.close()
    app = open_app("jobs", jobs.workspace.root, job=identifier)
    assert "The worker stopped; the job resumes in a moment" in shown(app)
    assert str(jobs.workspace.root) in no_workers
    assert jobs.resume_orphans() == [identifier]
    app.run()
    assert "Resumed after its worker died" in shown(app)


def test_a_job_that_keeps_killing_its_worker_is_left_to_the_visitor(open_app: OpenApp, jobs: Jobs) -> None:
    worker = WorkerSign(jobs.signs)
    identifier = running(jobs, worker)
    for attempt in (2, 3):
        worker.close()
        assert jobs.resume_orphans() == [identifier]
        worker = WorkerSign(jobs.signs)
        job = jobs.claim(worker.name)
        assert job is not None
        assert job.attempt == attempt
    worker.close()
    app = open_app("jobs", jobs.workspace.root, job=identifier)
    assert "The worker died 3 times while this ran" in shown(app)
    assert app.button(key="job-retry").label == "Resume"


def test_a_worker_that_does_not_start_is_said_with_its_words(open_app: OpenApp, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cbm.jobs.attached.Crew.trouble", lambda *_: "no space left on device")
    identifier = jobs.submit("embed", EMBED, title="Encode the birds")
    app = open_app("jobs", jobs.workspace.root, job=identifier)
    assert "no space left on device" in app.error[0].value
    assert app.button(key="job-start").label == "Start the worker again"
    assert app.button(key="job-cancel").label == "Cancel"


def test_states_can_be_filtered_and_the_choice_stands_in_the_address(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    for number, state in enumerate(("done", "failed", "cancelled", "interrupted")):
        identifier = running(jobs, sign, f"A job that is {state}", source=f"/{number}")
        jobs.finish(identifier, 1, state)  # type: ignore[arg-type]
    app = open_app("jobs", jobs.workspace.root)
    assert all(f"A job that is {state}" in shown(app) for state in ("done", "failed", "cancelled", "interrupted"))
    app.segmented_control(key="jobs_show").set_value("Stopped").run()
    assert "A job that is interrupted" in shown(app)
    assert "A job that is done" not in shown(app)
    again = open_app("jobs", jobs.workspace.root, jobs_show="Failed")
    assert "A job that is failed" in shown(again)
    assert "A job that is cancelled" not in shown(again)


def test_many_jobs_come_in_pages(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    for number in range(18):
        jobs.finish(running(jobs, sign, f"Job number {number}.", source=f"/{number}"), 1, "done", result={})
    app = open_app("jobs", jobs.workspace.root)
    assert "number 17" in shown(app)
    assert "number 2." not in shown(app)
    assert app.get("pagination")


def test_jobs_left_by_an_earlier_server_are_taken_up(open_app: OpenApp, jobs: Jobs, no_workers: list[str]) -> None:
    jobs.submit("embed", EMBED)
    open_app("start", jobs.workspace.root)
    assert no_workers.count(str(jobs.workspace.root)) >= 1


def test_a_workspace_without_jobs_is_left_as_it_is(open_app: OpenApp, tmp_path: Path, no_workers: list[str]) -> None:
    open_app("concepts", tmp_path / "fresh")
    assert no_workers == []
    assert not (tmp_path / "fresh" / "jobs").exists()


def test_demo_mode_has_no_jobs(open_app: OpenApp, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, no_workers: list[str]) -> None:
    jobs.submit("embed", EMBED)
    monkeypatch.setenv("CBM_MODE", "demo")
    open_app("start", jobs.workspace.root)
    assert no_workers == []


def test_a_job_opened_from_the_list_is_shown_in_its_place(open_app: OpenApp, jobs: Jobs, sign: WorkerSign) -> None:
    first = running(jobs, sign, "The older one", source="/1")
    jobs.finish(first, 1, "done", result={})
    second = running(jobs, sign, "The newer one", source="/2")
    jobs.finish(second, 1, "done", result={})

    def places(app: AppTest) -> tuple[int, int]:
        text = [element.value for element in app.markdown]
        return text.index("###### Request"), text.index("**The newer one**")

    app = open_app("jobs", jobs.workspace.root)
    app.button(key=f"open-{first}").click().run()
    asked, newer = places(app)
    assert asked > newer
    asked, newer = places(open_app("jobs", jobs.workspace.root, job=first))
    assert asked < newer
