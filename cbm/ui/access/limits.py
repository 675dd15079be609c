"""How much one visitor may ask for, mode by mode, and the windows that count it. `cbm.ui.access.modes` says whose they are."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from cbm.core.errors import CbmError
from cbm.verbs.base import hosted_limits

MEGABYTE = 2**20
HOUR = 3600.0
_MANY_COUNTS = 10_000
"""Counts that are kept at most; visitors come and go, and the oldest ones have nothing left in their window."""


class NotAllowedError(CbmError):
    """The mode that the app runs in does not allow this."""


class LimitError(CbmError):
    """More than one visitor may ask for; the message says how much that is and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one visitor may ask for. None means without limit."""

    max_upload_bytes: int
    """Of one file."""
    max_uploads: int
    """Files at once."""
    max_kept_bytes: int | None
    """All uploads that are kept in the visitor's workspace."""
    max_images: int | None
    """Images of one data set, counted after an archive was opened."""
    max_jobs: int | None
    """Jobs that run or wait in the visitor's workspace."""
    max_jobs_of_all: int | None
    """Jobs that run or wait on the whole server."""
    jobs_per_hour: int | None
    encodings_per_hour: int | None
    """Texts and single images that are encoded while the visitor waits."""
    max_text: int
    """Characters of a name, a search or a note."""
    keep_days: float | None
    """How long a workspace is kept after its visitor's last visit."""
    max_visitors: int | None
    """Workspaces of visitors on the whole server."""
    max_settings: Mapping[str, float] = field(default_factory=dict)
    """Of a job's parameters by name, lists included: what decides how much memory and time it takes."""

    @property
    def max_upload_megabytes(self) -> int:
        """As upload widgets take it."""
        return max(1, self.max_upload_bytes // MEGABYTE)


LOCAL = Limits(
    max_upload_bytes=200 * MEGABYTE,
    max_uploads=20_000,
    max_kept_bytes=None,
    max_images=None,
    max_jobs=None,
    max_jobs_of_all=None,
    jobs_per_hour=None,
    encodings_per_hour=None,
    max_text=500,
    keep_days=None,
    max_visitors=None,
)
HOSTED = Limits(
    max_upload_bytes=100 * MEGABYTE,
    max_uploads=500,
    max_kept_bytes=300 * MEGABYTE,
    max_images=3000,
    max_jobs=4,
    max_jobs_of_all=20,
    jobs_per_hour=20,
    encodings_per_hour=600,
    max_text=200,
    keep_days=7,
    max_visitors=500,
    max_settings=hosted_limits(),
)
DEMO = Limits(
    max_upload_bytes=20 * MEGABYTE,
    max_uploads=1,
    max_kept_bytes=0,
    max_images=1,
    max_jobs=0,
    max_jobs_of_all=0,
    jobs_per_hour=0,
    encodings_per_hour=300,
    max_text=200,
    keep_days=None,
    max_visitors=None,
)


class SlidingWindow:
    """Counts what each visitor did within the last `seconds`; safe from several threads.

    Unlike the moving window of the library `limits` it knows how long to wait for several at once, and keeps no thread of its own.
    """

    def __init__(self, seconds: float = HOUR, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._times: dict[str, deque[float]] = {}
        self._lock = Lock()

    def take(self, who: str, allowed: int, count: int = 1) -> float | None:
        """Count `count` more for `who`, all or none.

        Returns:
            None where they fit; else the seconds until they would (the whole window where they never do).
        """
        now = self._clock()
        with self._lock:
            times = self._times.setdefault(who, deque())
            while times and times[0] <= now - self._seconds:
                times.popleft()
            if len(times) + count <= allowed:
                times.extend([now] * count)
                self._forget(now)
                return None
            wait_for = len(times) + count - allowed - 1
            return self._seconds if wait_for >= len(times) else times[wait_for] + self._seconds - now

    def _forget(self, now: float) -> None:
        if len(self._times) > _MANY_COUNTS:
            self._times = {who: times for who, times in self._times.items() if times and times[-1] > now - self._seconds}
