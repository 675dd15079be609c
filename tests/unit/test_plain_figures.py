"""Figures that skip Plotly's checks must still pass them, and pictures tell right from wrong by more than colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from cbm.model.explanations import Contribution
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import explanations
from cbm.ui.widgets.figures.explanations import share_bars, strength_histogram
from cbm.ui.widgets.thumbnails import draw_outcome, square

PARTS = [
    Contribution(1, "red", 0.5, 0.5, 3.0, 1.5, 0.6, (1,), hidden=False),
    Contribution(2, "blue", 0.5, 0.25, -2.0, -1.0, -0.3, (2, 3), hidden=False),
]
EDGES, COUNTS = np.linspace(0, 1, 5), np.array([3, 0, 2, 9])


@pytest.mark.parametrize(
    "make",
    [
        lambda: explanations.contribution_bars(PARTS, rest=0.2, bias=-1.0, target="cat"),
        lambda: figures.score_bars([("red", 0.9), ("blue", -0.1)], unit="AUC", start=0.5, end=1.0),
        lambda: explanations.class_weight_bars([("cat", 1.0), ("dog", -2.0)]),
        lambda: explanations.class_weight_bars([]),
        lambda: explanations.probability_change([("cat", 0.2, 0.7), ("dog", 0.8, 0.3)], truth="cat"),
        lambda: explanations.probability_change([("cat", 0.02, 0.03), ("dog", 0.01, 0.02)], truth=None),
        lambda: strength_histogram(EDGES, COUNTS, ["a-b", "b-c", "c-d", "d-e"], images=20, chosen=2),
        lambda: share_bars(PARTS, rest=0.1, target="cat", chosen=2),
    ],
)
def test_figures_made_of_plain_values_are_valid(make: Callable[[], go.Figure]) -> None:
    figure = make()
    checked = go.Figure(figure.to_dict())
    assert checked.layout.height > 0
    assert checked.layout.paper_bgcolor is None  # the template's, which is transparent
    assert checked.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def test_probabilities_of_a_few_percent_fill_their_chart() -> None:
    small = explanations.probability_change([("cat", 0.03, 0.03), ("dog", 0.02, 0.02)], truth=None).to_dict()
    assert small["layout"]["xaxis"]["range"][1] < 0.1
    assert small["data"][1]["text"] == ["3.0%", "2.0%"]


def test_shares_have_their_sign_and_the_chosen_one_its_arrow() -> None:
    figure = share_bars(PARTS, rest=0.0, target="cat", chosen=2).to_dict()
    assert figure["data"][0]["text"] == ["+60 %", "−30 %"]
    assert figure["layout"]["yaxis"]["ticktext"] == ["red", "▸ blue ✎"]


def test_right_and_wrong_borders_differ_without_colour() -> None:
    picture = Image.new("RGB", (100, 100), "black")
    right, wrong = (np.asarray(draw_outcome(picture, correct).convert("L"), int) for correct in (True, False))
    assert len(set(right[1, 30:].tolist())) == 1
    assert len(set(wrong[1, 30:].tolist())) == 2
    assert (right[50, 10:90] == 0).all()
    assert draw_outcome(picture, None) is picture


def test_a_thumbnail_is_the_middle_of_its_picture() -> None:
    picture = Image.new("RGB", (300, 100), "red")
    picture.paste("blue", (100, 0, 200, 100))
    assert (np.asarray(square(picture, 50))[:, 5:45, 2] > 250).all()
