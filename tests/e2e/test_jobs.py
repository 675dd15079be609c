"""Long work as a visitor sees it: stopped and resumed, through a reload, a killed worker and a restart of the server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import planted
import pytest
from playwright.sync_api import Browser, Page, expect
from visits import Server, Visit

from cbm.jobs import Job, Jobs
from cbm.workspace.workspace import Workspace

PATIENCE = 120.0
ENDLESS = 1_000_000
"""Epochs of a training that a test ends when it has seen what it wanted."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.build(tmp_path_factory.mktemp("jobs") / "workspace")


@pytest.fixture(scope="module")
def server(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With a workspace of its own, so that no other test waits for these jobs."""
    running = Server(workspace.root, tmp_path_factory.mktemp("jobs-server") / "server.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture
def jobs(workspace: Workspace) -> Jobs:
    return Jobs(workspace)


@pytest.fixture(autouse=True)
def nothing_left(jobs: Jobs) -> Iterator[None]:
    """Ends what a test leaves running, so that the next one need not wait."""
    yield
    for job in jobs.live():
        jobs.cancel(job.id)


def discover(jobs: Jobs, title: str, epochs: int = ENDLESS) -> str:
    """A real training."""
    embeddings = jobs.workspace.list("embeddings")[0].id
    return jobs.submit("discover", {"embeddings": [embeddings], "width": 64, "k": 4, "epochs": epochs}, title=title)


def until(jobs: Jobs, identifier: str, holds: Callable[[Job], bool]) -> Job:
    end = time.monotonic() + PATIENCE
    while not holds(job := jobs.get(identifier)):
        assert time.monotonic() < end, job
        time.sleep(0.05)
    return job


def state(page: Page, label: str) -> None:
    expect(page.locator(".st-key-job_detail .stMarkdownBadge", has_text=label)).to_be_visible()


def test_cancel_a_job_reload_resume_it_and_see_it_finish(visit: Visit, jobs: Jobs) -> None:
    identifier = discover(jobs, "Discover stripes", epochs=1500)
    page = visit.open("/jobs")
    expect(page.get_by_text("Discover stripes")).to_be_visible()
    until(jobs, identifier, lambda job: job.progress.done > 0)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    expect(page.locator(".stMarkdownBadge", has_text="Cancelled")).to_be_visible()
    reached = jobs.get(identifier).progress.done
    page.reload()
    visit.settle()
    page.get_by_role("button", name="Resume").click()
    resumed = until(jobs, identifier, lambda job: job.attempt == 2 and (job.progress.done > 0 or not job.live))
    assert resumed.progress.done >= reached > 0, "it resumes from its checkpoint"
    expect(page.get_by_role("link", name="Open the dictionary")).to_be_visible()
    expect(page.get_by_text(re.compile("unexplained variance .* dead"))).to_be_visible()


def test_a_job_goes_on_through_a_reload_and_is_the_same_in_a_second_browser(
    visit: Visit, browser: Browser, server: Server, jobs: Jobs
) -> None:
    identifier = discover(jobs, "Discover circles")
    page = visit.open(f"/jobs?job={identifier}")
    until(jobs, identifier, lambda job: job.progress.done > 0)
    expect(page.get_by_text("Unexplained variance (FVU)").first).to_be_visible()
    before = jobs.get(identifier).progress.done
    page.reload()
    state(page, "Running")
    until(jobs, identifier, lambda job: job.progress.done > before)
    second = Visit(browser, server.url)
    other = second.open(f"/jobs?job={identifier}")
    state(other, "Running")
    other.locator(".st-key-job_detail").get_by_role("button", name="Cancel", exact=True).click()
    for watched in (other, page):
        state(watched, "Cancelled")
        expect(watched.get_by_role("button", name="Resume")).to_be_visible()
    second.close()
    assert not second.problems, second.problems
    assert jobs.get(identifier).attempt == 1


def test_a_killed_worker_is_said_and_its_job_resumed(visit: Visit, jobs: Jobs) -> None:
    identifier = discover(jobs, "Discover triangles")
    page = visit.open(f"/jobs?job={identifier}")
    until(jobs, identifier, lambda job: job.progress.done > 0)
    state(page, "Running")
    (sign,) = [path for path in jobs.signs.glob("*.lock") if path.read_text()]
    os.kill(int(sign.name.partition("-")[0]), signal.SIGKILL)
    expect(page.get_by_text("Resumed after its worker died")).to_be_visible()
    state(page, "Running")
    again = until(jobs, identifier, lambda job: job.progress.done > 0 or not job.live)
    assert (again.state, again.attempt, again.resumed) == ("running", 2, 1)


def test_a_restarted_server_goes_on_with_its_jobs(browser: Browser, workspace: Workspace, tmp_path: Path) -> None:
    # Elsewhere, for the other server's worker would take the job.
    shutil.copytree(workspace.root / "artifacts", tmp_path / "workspace" / "artifacts", ignore=shutil.ignore_patterns(".*"))
    jobs = Jobs(Workspace(tmp_path / "workspace"))
    first = Server(jobs.workspace.root, tmp_path / "first.log")
    try:
        first.wait()
        identifier = discover(jobs, "Discover squares")
        visitor = Visit(browser, first.url)
        state(visitor.open(f"/jobs?job={identifier}"), "Running")
        until(jobs, identifier, lambda job: job.progress.done > 0)
        visitor.close()
    finally:
        first.stop()
    stopped = until(jobs, identifier, lambda job: job.state != "running")
    assert stopped.state == "interrupted"
    assert stopped.resuming
    second = Server(jobs.workspace.root, tmp_path / "second.log")
    try:
        second.wait()
        visitor = Visit(browser, second.url)
        page = visitor.open("/")
        # Nobody has to look at the page of jobs for the work to go on.
        until(jobs, identifier, lambda job: job.live)
        page.goto(f"{second.url}/jobs?job={identifier}")
        expect(page.get_by_text("Resumed after the app was restarted")).to_be_visible()
        state(page, "Running")
        visitor.close()
        assert not visitor.problems, visitor.problems
        jobs.cancel(identifier)
        until(jobs, identifier, lambda job: job.state == "cancelled")
    finally:
        second.stop()
