"""The figures that a job reported while it ran, for curves; and from how they went, how long the rest will take."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cbm.core.progress import Progress

GRAIN = 100
"""A report is kept when one hundredth of the time has passed since the one before: dense where curves bend, and few in the end."""
FINEST_SECONDS = 0.2
WINDOW_SECONDS = 30.0
"""The speed that counts is that of the last half, or of the last 30 s where that is longer: the first steps load models."""
KNOWN_AFTER_SECONDS = 3.0
"""Younger work says nothing about its end."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL, attempt INTEGER NOT NULL, seconds REAL NOT NULL, fraction REAL NOT NULL,
    figures TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS history_of_a_job ON history (job, number);
"""


class Reported(NamedTuple):
    """What a job said at one moment."""

    seconds: float
    """Of work; what earlier attempts took is counted where the job went on from them."""
    figures: Mapping[str, float]


def keep(database: sqlite3.Connection, job: str, attempt: int, seconds: float, progress: Progress) -> None:
    """Note a report, unless the last one is too near."""
    last = database.execute("SELECT seconds FROM history WHERE job = ? ORDER BY number DESC LIMIT 1", (job,)).fetchone()
    if last is not None and seconds - last[0] < max(FINEST_SECONDS, seconds / GRAIN):
        return
    values = (job, attempt, seconds, progress.fraction, json.dumps(dict(progress.figures), allow_nan=False))
    database.execute("INSERT INTO history (job, attempt, seconds, fraction, figures) VALUES (?, ?, ?, ?, ?)", values)


def read(database: sqlite3.Connection, job: str) -> list[Reported]:
    rows = database.execute("SELECT seconds, figures FROM history WHERE job = ? AND figures != '{}' ORDER BY number", (job,))
    return [Reported(seconds, json.loads(figures)) for seconds, figures in rows]


def worked(database: sqlite3.Connection, job: str) -> float:
    """Seconds of work up to the last report of any attempt."""
    return float(database.execute("SELECT COALESCE(MAX(seconds), 0) FROM history WHERE job = ?", (job,)).fetchone()[0])


def forget(database: sqlite3.Connection, job: str) -> None:
    database.execute("DELETE FROM history WHERE job = ?", (job,))


def remaining(database: sqlite3.Connection, job: str, attempt: int) -> float | None:
    """Seconds that this attempt will still take if it continues at this pace; None where that cannot be said."""
    rows = database.execute("SELECT seconds, fraction FROM history WHERE job = ? AND attempt = ? ORDER BY number", (job, attempt))
    return _extrapolated([(float(seconds), float(fraction)) for seconds, fraction in rows])


def _extrapolated(points: Sequence[tuple[float, float]]) -> float | None:
    if len(points) < 2:
        return None
    end, reached = points[-1]
    begin = points[0][0]
    since = end - max(WINDOW_SECONDS, (end - begin) / 2)
    start, before = next(point for point in points if point[0] >= since)
    if end - start < KNOWN_AFTER_SECONDS or reached <= before:
        return None
    return (1 - reached) * (end - start) / (reached - before)
