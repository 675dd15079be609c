"""The report: one file that needs no network, names every concept, tells the model's own figures, and takes no name for markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from cbm import verbs
from cbm.core.errors import Cancelled
from cbm.core.run import Run
from cbm.editing.recipe import AblateConcept, Recipe, RenameConcept
from cbm.study.report import report_html
from cbm.study.report_charts import confusion_chart
from cbm.study.study import Study
from cbm.workspace.workspace import Workspace

HOSTILE = "<script>alert(\"1\")</script> & 'q'"


@pytest.fixture(scope="module")
def study(built_demo: tuple[Workspace, object]) -> Study:
    workspace, result = built_demo
    return Study.open(result.model, workspace=workspace)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def page(study: Study) -> str:
    return report_html(study, "A model")


class Resources(HTMLParser):
    """What a browser would load, and whether every picture has words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attributes if name in ("src", "href", "data", "srcset", "xlink:href")]
        self.silent += (tag == "img" and not found.get("alt")) or (tag == "svg" and not found.get("aria-label"))


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    found = Resources(page)
    assert all(value.startswith(("data:image/", "#")) for value in found.loaded)
    assert not {"script", "link", "iframe"} & set(found.tags)
    assert not re.search(r"https?://|@import|url\(", page)
    assert found.silent == 0
    assert found.tags.count("img") > 100


def test_every_concept_and_class_is_named(study: Study, page: str) -> None:
    for concept in study.concepts():
        assert f"concept {concept.index} ·" in page or f'<td class="number">{concept.index}</td><td>{escape(concept.name)}</td>' in page
        assert escape(concept.name) in page
    for name in study.class_names:
        assert f"<h3>{escape(name)}</h3>" in page


def test_figures_are_the_models_own(study: Study, page: str) -> None:
    predicted = study.model.predict(study.held_out.embeddings, study.items).labels
    assert f"<b>{(predicted == study.labels).mean():.1%}</b>" in page
    text = unescape(page)
    for point in [*study.metrics["nec_path"], *study.metrics["random_concepts"]]:
        if point["accuracy"] is not None:
            assert f"{point['accuracy']:.1%}" in text
    assert f"linear probe {study.metrics['linear_probe']:.1%}" in text


def test_hostile_names_are_text(study: Study) -> None:
    recipe = Recipe.of(RenameConcept(3, "x", HOSTILE), AblateConcept(1, HOSTILE))
    classes = (HOSTILE, *study.model.classes[1:])
    hostile = Study(
        replace(study.model, recipe=recipe, classes=classes), replace(study.held_out, classes=(HOSTILE, *study.held_out.classes[1:]))
    )
    page = report_html(hostile, HOSTILE)
    assert "<script" not in page
    assert escape(HOSTILE) in page
    assert "script" not in Resources(page).tags


def test_edits_are_told_with_what_they_change(study: Study) -> None:
    recipe = Recipe.of(AblateConcept(4, "something"), RenameConcept(3, "x", "y"))
    page = report_html(Study(study.model.with_recipe(recipe), study.held_out), "edited")
    before = study.model.with_recipe(Recipe()).predict(study.held_out.embeddings, study.items).labels
    after = study.model.with_recipe(recipe).predict(study.held_out.embeddings, study.items).labels
    assert f"{(before != after).sum():,} predictions changed" in page
    assert f"from {(before == study.labels).mean():.1%} to <b>{(after == study.labels).mean():.1%}</b>" in page
    assert "changes names only" in page


def test_every_figure_is_measured_under_the_recipe_that_is_given(study: Study) -> None:
    generator = np.random.default_rng(3)
    grouped = replace(
        study.held_out, groups=("left", "right"), items=study.held_out.items.assign(group=generator.integers(0, 2, study.image_count))
    )
    recipe = Recipe.of(*(AblateConcept(concept, f"concept {concept}") for concept in range(study.concept_count)))
    page = report_html(Study(study.model, grouped), "edited", recipe=recipe)
    # Without any concept only the bias is left: every image is of one class.
    right = study.labels == study.model.head.bias.argmax()
    group = grouped.items["group"].to_numpy()
    worst = min(right[(group == one) & (study.labels >= 0)].mean() for one in (0, 1))
    assert f'<span class="soft">Worst group</span><b>{worst:.1%}</b>' in page


def test_a_report_can_be_stopped(study: Study) -> None:
    with pytest.raises(Cancelled):
        report_html(study, "x", Run(cancelled=lambda: True))


def test_the_verb_writes_the_file_and_says_what_is_in_it(built_demo: tuple[Workspace, object], tmp_path: Path) -> None:
    workspace, result = built_demo
    written = verbs.report(result.model, file=tmp_path / "new" / "report.html", workspace=workspace)  # type: ignore[attr-defined]
    assert Path(written.report).stat().st_size == written.bytes
    assert written.accuracy == pytest.approx(Study.open(result.model, workspace=workspace).accuracy)  # type: ignore[attr-defined]
    assert json.loads(json.dumps(written.record()))["concepts"] == written.concepts


def test_a_confusion_chart_says_its_mistakes_in_words() -> None:

    assert "a predicted as b 1 times" in confusion_chart(np.array([[3, 1], [0, 2]]), ["a", "b"])
