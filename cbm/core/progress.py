"""What long work tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """How far a piece of work has come; `done` of `total` units, with the latest `figures` worth drawing."""

    done: int
    total: int
    message: str
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]
