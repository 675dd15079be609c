"""Numbers, times and sizes as a visitor reads them, by literal cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cbm.ui.frame.formats import ago, duration, left, plain, points, signed, size

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(("number", "digits", "text"), [(0.25, 2, "+0.25"), (-1.5, 2, "-1.50"), (-0.004, 2, "+0.00"), (0.0, 1, "+0.0")])
def test_signs(number: float, digits: int, text: str) -> None:
    assert signed(number, digits) == text


def test_a_change_too_small_to_be_written_is_no_loss() -> None:
    assert points(0.9004, 0.9) == "+0.0 points"
    assert points(0.9, 0.88) == "-2.0 points"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0.4 s"), (12, "12 s"), (200, "3 min 20 s"), (1800, "30 min"), (7500, "2 h 5 min"), (9.97, "10 s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "a few seconds left"), (42, "about 40 s left"), (130, "about 2 min left"), (5400, "about 1.5 h left")],
)
def test_estimates(seconds: float, text: str) -> None:
    assert left(seconds) == text


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (timedelta(seconds=10), "just now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=60), "on 2 December 2025"),
    ],
)
def test_moments(before: timedelta, text: str) -> None:
    assert ago(NOW - before, NOW) == text


def test_sizes_are_decimal_and_never_zero() -> None:
    assert [size(33e6), size(12_300), size(3)] == ["33.0\u00a0MB", "12\u00a0KB", "1\u00a0KB"]


def test_names_cannot_be_markdown() -> None:
    assert plain("a *b* [c](d)") == r"a \*b\* \[c\]\(d\)"
