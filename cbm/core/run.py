"""The run context: what long work needs of whoever started it, in one value instead of four arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cbm.core.errors import Cancelled
from cbm.core.progress import CancelCheck, Progress, ProgressCallback

_UNITS = 1000


@dataclass(frozen=True)
class Run:
    """Where work reports to, who may stop it, where it computes, and the seed of everything random in it."""

    progress: ProgressCallback | None = None
    cancelled: CancelCheck | None = None
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`; see `cbm.core.devices.choose_device`."""
    seed: int = 0
    checkpoints: Path | None = None
    """A folder for what long work leaves behind to resume from; None: nothing is left."""

    def report(self, done: int, total: int, message: str, **figures: float) -> None:
        """Say how far the work has come."""
        if self.progress is not None:
            self.progress(Progress(done, total, message, figures))

    def check(self, message: str = "Stopped. Finished work is kept; the same request resumes from there.") -> None:
        """Call between two steps that can be lost.

        Raises:
            Cancelled: somebody asked for an end.
        """
        if self.cancelled is not None and self.cancelled():
            raise Cancelled(message)

    def stages(self, stages: Sequence[tuple[str, float]]) -> Stages:
        """One progress over several pieces of work that run one after another.

        Args:
            stages: titles with weights, which say how much of the whole each is expected to take.
        """
        return Stages(self, stages)


class Stages:
    """Progress of the whole out of the progress of its stages: "2 of 5: discovering concepts", with that stage's figures."""

    def __init__(self, run: Run, stages: Sequence[tuple[str, float]]) -> None:
        self._run, self._stages = run, stages
        self._position = 0
        self._total = sum(weight for _, weight in stages)

    @contextmanager
    def next(self) -> Iterator[Run]:
        """The next stage; yields the run context that its work is to report to.

        Raises:
            Cancelled: somebody asked for an end between two stages.
        """
        self._run.check()
        title, weight = self._stages[self._position]
        before = sum(weight for _, weight in self._stages[: self._position])
        many = len(self._stages)
        message = f"{self._position + 1} of {many}: {title}" if many > 1 else f"{title[:1].upper()}{title[1:]}"

        def tell(inner: Progress) -> None:
            done = round(_UNITS * (before + weight * inner.fraction) / self._total)
            self._run.report(done, _UNITS, message, **inner.figures)

        tell(Progress(0, 1, title))
        yield replace(self._run, progress=tell if self._run.progress is not None else None)
        self._position += 1
        tell(Progress(1, 1, title))
