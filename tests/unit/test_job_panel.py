"""The charts of a running job: they follow it without being drawn again with every report."""

from __future__ import annotations

from itertools import pairwise

from cbm.jobs.history import Reported
from cbm.ui.widgets.job_panel import _until_last_redraw


def test_charts_move_forward_in_steps_that_grow_with_the_job() -> None:
    reported = [Reported(float(second) / 2, {"loss": 1.0}) for second in range(2 * 1200)]
    shown = [_until_last_redraw(reported[: count + 1]) for count in range(len(reported))]
    ends = [entries[-1].seconds if entries else 0.0 for entries in shown]
    assert all(before <= after for before, after in pairwise(ends)), "nothing that was shown is taken back"
    assert all(reported[count].seconds - end <= 32 for count, end in enumerate(ends))
    assert len(set(ends)) < 80, "twenty minutes of reports twice a second"
