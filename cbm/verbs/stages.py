"""One progress over several verbs that run one after another in one job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cbm.core.errors import Cancelled
from cbm.core.progress import CancelCheck, Progress, ProgressCallback

_UNITS = 1000


class Stages:
    """Progress of the whole out of the progress of its stages: "2 of 5: discovering concepts", with that stage's figures.

    Args:
        stages: titles with weights, which say how much of the whole each is expected to take.
    """

    def __init__(self, stages: Sequence[tuple[str, float]], progress: ProgressCallback | None, cancelled: CancelCheck | None) -> None:
        self._stages, self._progress, self._cancelled = stages, progress, cancelled
        self._position = 0
        self._total = sum(weight for _, weight in stages)

    @contextmanager
    def next(self) -> Iterator[ProgressCallback]:
        """The next stage; yields what its verb is to report to.

        Raises:
            Cancelled: somebody asked for an end between two stages.
        """
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("Stopped. What was finished is kept; the same request goes on from there.")
        title, weight = self._stages[self._position]
        before = sum(weight for _, weight in self._stages[: self._position])
        many = len(self._stages)
        message = f"{self._position + 1} of {many}: {title}" if many > 1 else f"{title[:1].upper()}{title[1:]}"

        def tell(inner: Progress) -> None:
            if self._progress is not None:
                done = round(_UNITS * (before + weight * inner.fraction) / self._total)
                self._progress(Progress(done, _UNITS, message, inner.figures))

        tell(Progress(0, 1, title))
        yield tell
        self._position += 1
        tell(Progress(1, 1, title))
