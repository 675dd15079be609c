"""How long encoding takes, from earlier jobs or measured."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cbm.core.progress import Progress
from cbm.images import preview
from cbm.jobs import Job, encoding_pace


def job(state: str = "done", kind: str = "embed", parameters: dict[str, object] | None = None, **result: object) -> Job:
    now = datetime.now(UTC)
    return Job("job-1", kind, parameters or {"backbone": "demo"}, state, Progress(1, 1, ""), 1, now, now, now, False, result, None, "")  # type: ignore[arg-type]


def test_pace_comes_from_the_newest_long_enough_run_of_the_same_backbone() -> None:
    jobs = [
        job(count=500, reused=500, images_per_second=0.0),
        job(count=500, reused=490, images_per_second=9000.0),
        job(count=500, reused=0, images_per_second=80.0, parameters={"backbone": "ViT-B-32", "pretrained": "openai"}),
        job("failed", count=500, reused=0, images_per_second=1.0),
        job(count=500, reused=100, images_per_second=50.0),
        job(count=500, reused=0, images_per_second=20.0),
    ]
    found = encoding_pace.earlier(jobs, "demo", None)
    assert found is not None
    assert found.images_per_second == 50.0
    assert "earlier run" in found.source
    other = encoding_pace.earlier(jobs, "ViT-B-32", "openai")
    assert other is not None
    assert other.images_per_second == 80.0
    assert encoding_pace.earlier(jobs, "ViT-L-14", "openai") is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 1 second"), (40, "about 40 seconds"), (120, "about 2 minutes"), (3 * 3600, "about 3 hours"), (5 * 86400, "about 5 days")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert encoding_pace.in_words(seconds) == words


def test_measured_pace_says_so() -> None:
    from threading import Lock

    from cbm.backbones.backbone import Backbone

    backbone = Backbone("demo", device="cpu")
    seen = preview.look_at("scenes:classes?count=10&seed=0&split=train")
    measured = encoding_pace.measure(backbone, seen.probe, Lock())
    assert measured is not None
    assert measured.images_per_second > 0
    assert "measured on 8" in measured.source
    assert encoding_pace.measure(backbone, ("/nowhere/a.png",)) is None
