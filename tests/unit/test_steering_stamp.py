"""The steering panel draws itself again where its stamp changes, so the stamp must change with everything that is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cbm.study.steering import SteeringRow, SteeringView
from cbm.ui.widgets.components.steering_panel import _data


def view_of(item: str, *concepts: int) -> SteeringView:
    size = (len(concepts), 2)
    rows = tuple(SteeringRow(concept, f"concept {concept}", (concept,), 1.0, 1.0, False) for concept in concepts)
    zeros = np.zeros(size, np.float32)
    logits = np.zeros(2, np.float32)
    return SteeringView(item, ("cat", "dog"), 0, None, rows, zeros, zeros, {}, logits, logits, 0.0, 0.0, 0, ())


def stamp(view: SteeringView) -> str:
    return str(_data(view, "everywhere", "model/recipe")["stamp"])


def test_another_image_of_the_same_class_or_another_concept_asked_for_is_a_new_stamp() -> None:
    view = view_of("a.jpg", 3, 5)
    assert stamp(view) == stamp(view_of("a.jpg", 3, 5))
    assert stamp(view) != stamp(view_of("b.jpg", 3, 5))
    assert stamp(view) != stamp(view_of("a.jpg", 7, 3, 5))
    assert stamp(view) != stamp(replace(view, target=1))
