"""What the steering panel is told, against the model itself: the preview in the browser must be what the server comes to afterwards."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from planted import correctable

from cbm.core.errors import InvalidInputError, MismatchError
from cbm.editing.effect import measure_recipe
from cbm.editing.recipe import (
    AblateConcept,
    AblateConcepts,
    ClassScope,
    Edit,
    HideConcept,
    ImageScope,
    MergeConcepts,
    Recipe,
    RenameConcept,
    ScaleConcept,
    SetConcept,
    SetWeight,
)
from cbm.study.confusions import count_confusions
from cbm.study.proposals import concept_proposals, weight_proposals
from cbm.study.recipe_files import LARGEST_RECIPE, missing_items, read_recipe
from cbm.study.steering import MOST_ROWS, ScopeKind, SteeringView, scope_of, steering_edits, steering_view
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.ui.frame.state import IntervenePage
from cbm.ui.pages.intervene import experiments
from cbm.ui.widgets.components import steering_panel
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    return resources.study(str(workspace.root), resources.catalogue(str(workspace.root)).default)


def some_wrong(study: Study) -> int:
    """The wrong prediction with the most concepts to move."""
    return max(study.rows(wrong_only=True), key=lambda row: len(steering_view(study, row, Recipe()).rows))


def recipes(study: Study) -> list[Recipe]:
    row = some_wrong(study)
    active = [entry.concept for entry in study.prediction(row, Recipe()).contributions]
    silent = next(index for index in range(study.concept_count) if index not in active)
    name = study.class_names
    return [
        Recipe(),
        Recipe.of(ScaleConcept(active[0], "a", 0.4), SetWeight(active[1], "b", name[2], -2.0)),
        Recipe.of(AblateConcept(active[0], "a", ClassScope(name[1])), ScaleConcept(active[1], "b", 2.0, ImageScope(study.item(row)))),
        Recipe.of(SetConcept(silent, "c", 1.5), AblateConcept(active[2], "d")),
        Recipe.of(MergeConcepts((active[0], active[1], silent), ("a", "b", "c"), "both"), ScaleConcept(active[0], "a", 0.5)),
    ]


def preview(view: SteeringView, kind: ScopeKind, changes: dict[int, float]) -> np.ndarray:
    """The sums of `assets/components/steering_panel/index.js`, in its words."""
    current = view.logits.astype(np.float64)
    for place, row in enumerate(view.rows):
        if row.concept in changes:
            multiplier = changes[row.concept]
            now = view.now.get(place, np.float64(row.position) * view.unit[place])
            step = multiplier * view.unit[place].astype(np.float64) - now
            if kind == "class":
                current[view.target] += step[view.target]
            else:
                current += step
    return current


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("kind", ["image", "class", "everywhere"])
def test_preview_is_what_the_server_comes_to(study: Study, number: int, kind: ScopeKind) -> None:
    recipe, row = recipes(study)[number], some_wrong(study)
    generator = np.random.default_rng(number)
    for target in (None, study.class_names[3]):
        view = steering_view(study, row, recipe, target, asked=0)
        for _ in range(4):
            chosen = generator.choice(len(view.rows), 2, replace=False)
            changes = {view.rows[place].concept: float(generator.choice([0.0, 0.25, 1.0, 2.4])) for place in chosen}
            edits = steering_edits(view, changes, scope_of(kind, view.item, view.classes[view.target]))
            after = study.scored.apply(recipe.append(*edits))[row]
            np.testing.assert_allclose(preview(view, kind, changes), after, atol=1e-4)


@pytest.mark.parametrize("number", range(5))
def test_sliders_stand_where_they_were_put(study: Study, number: int) -> None:
    recipe, row = recipes(study)[number], some_wrong(study)
    view = steering_view(study, row, recipe)
    place = next(place for place, entry in enumerate(view.rows) if not entry.silent)
    concept = view.rows[place].concept
    for multiplier in (0.0, 0.35, 1.0):
        edits = steering_edits(view, {concept: multiplier}, scope_of("everywhere", view.item, ""))
        moved = steering_view(study, row, recipe.append(*edits))
        assert next(entry for entry in moved.rows if entry.concept == concept).position == pytest.approx(multiplier, abs=1e-6)


@pytest.mark.parametrize("number", range(5))
def test_rows_rest_and_bias_sum_to_the_score(study: Study, number: int) -> None:
    for row in range(0, study.image_count, 23):
        view = steering_view(study, row, recipes(study)[number])
        worth = [
            float(view.now[place][view.target]) if place in view.now else entry.position * float(view.unit[place, view.target])
            for place, entry in enumerate(view.rows)
        ]
        assert sum(worth) + view.rest + view.bias == pytest.approx(float(view.logits[view.target]), abs=1e-5)
        assert len(view.rows) <= MOST_ROWS


def test_asked_concept_has_the_first_slider_and_a_silent_one_can_be_set(study: Study) -> None:
    row = some_wrong(study)
    active = {entry.concept for entry in study.prediction(row, Recipe()).contributions}
    silent = next(index for index in range(study.concept_count) if index not in active and (study.model.head.weight[:, index] != 0).any())
    view = steering_view(study, row, Recipe(), asked=silent)
    assert view.rows[0].concept == silent
    assert view.rows[0].silent
    assert view.rows[0].position == 0
    (edit,) = steering_edits(view, {silent: 2.0}, scope_of("image", view.item, ""))
    assert isinstance(edit, SetConcept)
    assert edit.value == pytest.approx(2 * study.columns[:, silent].data.mean(), rel=1e-4)


def test_what_the_browser_sends_is_checked(study: Study) -> None:
    view = steering_view(study, some_wrong(study), Recipe())
    scope = scope_of("everywhere", view.item, "")
    known = view.rows[0].concept
    assert steering_edits(view, {10**6: 1.0, known: float("nan")}, scope) == ()
    assert steering_edits(view, {known: -1.0}, scope) == steering_edits(view, {known: 1e9}, scope) == ()
    good = {"item": "a", "scope": "image", "target": "b", "changes": [[3, 0.5]]}
    event = steering_panel._event(good)
    assert event is not None
    assert event.changes == {3: 0.5}
    for bad in (None, "x", {**good, "scope": "world"}, {**good, "changes": 4}, {**good, "changes": [[1]]}, {**good, "changes": ["ab", 1]}):
        assert steering_panel._event(bad) is None
    assert steering_panel._event({**good, "changes": [["a", True]]}).changes == {}  # type: ignore[union-attr]


def test_panel_data_is_json_and_holds_the_numbers_to_the_last_bit(study: Study) -> None:
    view = steering_view(study, some_wrong(study), recipes(study)[2])
    data = json.loads(json.dumps(steering_panel._data(view, "image", "stamp")))
    unit = np.frombuffer(base64.b64decode(data["unit"]), dtype="<f4").reshape(view.unit.shape)
    np.testing.assert_array_equal(unit, view.unit)
    assert set(data["now"]) == {str(place) for place in view.now}


# Marginal effects


def test_marginal_effects_are_measured_on_top_of_the_edits_before_and_add_up(study: Study) -> None:
    _, concept = correctable(study)
    edits: list[Edit] = [AblateConcept(concept, "x"), RenameConcept(1, "a", "b"), ScaleConcept(2, "y", 2.0), AblateConcept(3, "z")]
    recipe = Recipe.of(*edits).toggle(2)
    found = study.marginal_effects(recipe)
    assert [entry is None for entry in found] == [False, True, True, False]
    before = Recipe()
    for edit, entry in zip(edits, found, strict=True):
        if entry is None:
            continue
        effect = measure_recipe(study.scored, before, before.append(edit), study.labels)
        assert (entry.corrected, entry.newly_wrong, entry.changed) == (
            len(effect.corrected),
            len(effect.newly_wrong),
            len(effect.changed),
        )
        before = before.append(edit)
    whole = measure_recipe(study.scored, Recipe(), recipe, study.labels)
    net = sum(entry.corrected - entry.newly_wrong for entry in found if entry is not None)
    assert net == len(whole.corrected) - len(whole.newly_wrong)


def test_names_do_not_count_as_another_state() -> None:
    edit = AblateConcept(1, "a")
    assert Recipe.of(edit).prediction_state == Recipe.of(HideConcept(3, "c"), edit, RenameConcept(1, "a", "b")).prediction_state


# Suggestions and experiments


def test_every_suggestion_does_what_it_says(study: Study) -> None:
    recipe = Recipe.of(ScaleConcept(2, "x", 0.5))
    predicted = study.scored.apply(recipe).argmax(axis=1)
    mistakes = count_confusions(predicted, study.labels, study.class_names).named_pairs()
    assert sum(count for *_, count in mistakes) == ((study.labels >= 0) & (predicted != study.labels)).sum()
    assert mistakes[0][2] == max(count for *_, count in mistakes)
    proposals = list(concept_proposals(study, mistakes[0][0], mistakes[0][1], recipe))
    row = int(np.flatnonzero(predicted != study.labels)[0])
    weights = weight_proposals(study, row, recipe)
    assert weights
    for proposal in [*proposals, *weights]:
        effect = measure_recipe(study.scored, recipe, recipe.append(*proposal.edits), study.labels)
        assert (proposal.corrected, proposal.newly_wrong) == (len(effect.corrected), len(effect.newly_wrong))
    assert all(study.scored.apply(recipe.append(*proposal.edits))[row].argmax() == study.labels[row] for proposal in weights)


def test_prepared_experiments_do_what_they_promise(study: Study, workspace: Workspace) -> None:
    root = str(workspace.root)
    for model in list(resources.catalogue(root).models):
        own = resources.study(root, model)
        prepared = experiments(own, model)
        assert len(prepared) == 3
        assert len({experiment.guide.key for experiment in prepared}) == 3
        for experiment in prepared:
            assert isinstance(experiment.guide.target, IntervenePage)
            row = own.row_of(experiment.guide.target.image or "")
            before, after = (own.scored.apply(recipe)[row].argmax() for recipe in (Recipe(), Recipe.of(*experiment.edits)))
            if experiment.guide.key == "mistake":
                assert before != own.labels[row] == after
            if experiment.guide.key == "carrier":
                assert before == own.labels[row] != after


# Recipes from files


def test_downloaded_recipe_comes_back_as_it_was(study: Study) -> None:
    first = study.prediction(some_wrong(study), Recipe()).contributions[0]
    concept, name = first.concept, first.name
    recipe = Recipe.of(RenameConcept(concept, name, "mine"), AblateConcept(concept, "mine"), AblateConcepts((1, 2), "my selection")).undo()
    assert read_recipe(recipe.to_json().encode(), study) == recipe


def test_recipe_of_another_model_is_refused_and_may_be_applied_by_name(study: Study) -> None:
    foreign = Recipe.of(AblateConcept(5, study.model.concepts.names[7]))
    with pytest.raises(MismatchError, match=r"another model.*concept 5"):
        read_recipe(foreign.to_json().encode(), study)
    assert read_recipe(foreign.to_json().encode(), study, by_name=True).active == (AblateConcept(7, study.model.concepts.names[7]),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\xff", "not text"),
        (b"hello", "not JSON"),
        (b"[1, 2]", "list"),
        (b'{"edits": [{"edit": "explode", "name": "a"}]}', "must be one of"),
        (b'{"edits": [{"edit": "zero_weight", "concept": 1, "name": "a", "class_name": "unicorn"}]}', "not a class"),
        (b'{"edits": [{"edit": "ablate_concept", "concept": 99999, "name": "a"}]}', "another dictionary"),
        (b'{"edits": [{"edit": "ablate_concept", "name": "no such thing"}]}', "no concept of that name"),
        (b"x" * (LARGEST_RECIPE + 1), "MB"),
    ],
)
def test_files_that_are_no_fitting_recipe_are_explained(study: Study, data: bytes, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read_recipe(data, study)


def test_images_that_are_not_here_are_counted(study: Study) -> None:
    recipe = Recipe.of(AblateConcept(1, "x", ImageScope("elsewhere.jpg")), AblateConcept(1, "x", ImageScope(study.item(some_wrong(study)))))
    assert missing_items(recipe, study) == ("elsewhere.jpg",)
