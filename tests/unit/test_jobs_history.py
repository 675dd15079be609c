"""What a job reported while it ran: kept for curves, in few points, and for how long the rest will take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cbm.core.progress import Progress
from cbm.jobs import Jobs, history
from cbm.jobs.liveness import WorkerSign
from cbm.workspace.workspace import Workspace


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Workspace(tmp_path))


@pytest.fixture
def sign(jobs: Jobs) -> Iterator[WorkerSign]:
    sign = WorkerSign(jobs.signs)
    yield sign
    sign.close()


def _keep(jobs: Jobs, identifier: str, attempt: int, seconds: float, progress: Progress) -> None:
    with jobs._connection() as database:
        history.keep(database, identifier, attempt, seconds, progress)


def test_reported_figures_are_kept_for_curves(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("discover", {"embeddings": ["embeddings-1"]})
    jobs.claim(sign.name)
    jobs.report(identifier, 1, Progress(0, 10, "Starting"))
    for step in range(1, 4):
        _keep(jobs, identifier, 1, float(step), Progress(step, 10, "Training", {"fvu": 1 / step}))
    assert [(seconds, dict(figures)) for seconds, figures in jobs.history(identifier)] == [
        (1.0, {"fvu": 1.0}),
        (2.0, {"fvu": 0.5}),
        (3.0, {"fvu": 1 / 3}),
    ]


def test_the_history_of_a_long_job_stays_small_and_reaches_its_end(jobs: Jobs) -> None:
    identifier = jobs.submit("discover", {"embeddings": ["embeddings-1"]})
    with jobs._connection() as database:
        for step in range(20_000):
            history.keep(database, identifier, 1, 0.25 * step, Progress(step, 20_000, "Training", {"fvu": 0.5}))
    points = jobs.history(identifier)
    assert 200 < len(points) < 700
    assert points[-1].seconds > 0.98 * 0.25 * 20_000
    assert len([point for point in points if point.seconds < 60]) > 30


def test_curves_go_on_where_a_job_goes_on_and_begin_anew_after_a_failure(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("discover", {"embeddings": ["embeddings-1"]})
    jobs.claim(sign.name)
    _keep(jobs, identifier, 1, 40.0, Progress(4, 10, "Training", {"fvu": 0.5}))
    jobs.finish(identifier, 1, "cancelled")
    jobs.retry(identifier)
    jobs.claim(sign.name)
    jobs.report(identifier, 2, Progress(5, 10, "Training", {"fvu": 0.4}))
    assert len(jobs.history(identifier)) == 1, "too near to the last report"
    with jobs._connection() as database:
        database.execute("UPDATE jobs SET worked = 41")
    jobs.report(identifier, 2, Progress(6, 10, "Training", {"fvu": 0.3}))
    assert [round(point.seconds) for point in jobs.history(identifier)] == [40, 41]
    jobs.finish(identifier, 2, "failed", error="too bad")
    jobs.retry(identifier)
    assert jobs.history(identifier) == []


def test_the_time_that_is_left_follows_from_the_pace_of_this_attempt(jobs: Jobs, sign: WorkerSign) -> None:
    identifier = jobs.submit("embed", {"source": "/x"})
    assert jobs.remaining(jobs.get(identifier)) is None
    jobs.claim(sign.name)
    assert jobs.remaining(jobs.get(identifier)) is None
    # An earlier attempt came to 80 percent at once; this one takes ten seconds for ten percent.
    _keep(jobs, identifier, 0, 1.0, Progress(80, 100, "Embedding"))
    for step in range(4):
        _keep(jobs, identifier, 1, 10.0 * (step + 1), Progress(10 * step, 100, "Embedding"))
    remaining = jobs.remaining(jobs.get(identifier))
    assert remaining == pytest.approx(70.0)
    jobs.finish(identifier, 1, "done", result={})
    assert jobs.remaining(jobs.get(identifier)) is None
