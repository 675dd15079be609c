"""Edits with exact numbers of a concept that several were merged into: they must reach all of them."""

from __future__ import annotations

import pytest

from cbm.editing.recipe import AblateConcept, GlobalScope, ScaleConcept, ScaleWeight, SetConcept, ZeroWeight
from cbm.ui.pages.intervene.steering import exact

EVERYWHERE = GlobalScope()


@pytest.mark.parametrize(
    ("what", "how", "edits"),
    [
        ("Activation", "Ablate", [AblateConcept(3, "sea", EVERYWHERE), AblateConcept(8, "sea", EVERYWHERE)]),
        ("Activation", "Scale by", [ScaleConcept(3, "sea", 0.5, EVERYWHERE), ScaleConcept(8, "sea", 0.5, EVERYWHERE)]),
        ("Activation", "Set to", [SetConcept(3, "sea", 0.5, EVERYWHERE), AblateConcept(8, "sea", EVERYWHERE)]),
        ("Weight", "Remove", [ZeroWeight(3, "sea", "cat"), ZeroWeight(8, "sea", "cat")]),
        ("Weight", "Scale by", [ScaleWeight(3, "sea", "cat", 0.5), ScaleWeight(8, "sea", "cat", 0.5)]),
    ],
)
def test_an_edit_of_a_merged_concept_changes_all_of_it(what: str, how: str, edits: list[object]) -> None:
    assert list(exact(what, how, (3, 8), "sea", 0.5, "cat", EVERYWHERE)) == edits
    assert list(exact(what, how, (3,), "sea", 0.5, "cat", EVERYWHERE)) == edits[:1]
