"""The recipe as data: undo, redo, toggles, decisions, JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import (
    AblateConcept,
    AblateConcepts,
    ClassScope,
    GlobalScope,
    HideConcept,
    HideConcepts,
    ImageScope,
    MergeConcepts,
    Recipe,
    RenameConcept,
    ScaleConcept,
    ScaleWeight,
    SetConcept,
    SetWeight,
    ZeroWeight,
    describe,
)

concepts = st.integers(0, 11)
numbers = st.floats(-50, 50, allow_nan=False, allow_subnormal=False)
class_names = st.sampled_from(("cat", "dog", "bird", "fish"))
scopes = st.one_of(
    st.builds(GlobalScope), st.builds(ClassScope, class_names), st.builds(ImageScope, st.sampled_from(("image 0", "image 3", "absent")))
)
names = st.text(min_size=1, max_size=8).filter(str.strip)
edits = st.one_of(
    st.builds(AblateConcept, concepts, names, scopes),
    st.builds(SetConcept, concepts, names, numbers, scopes),
    st.builds(AblateConcepts, st.lists(concepts, min_size=1, max_size=4, unique=True).map(tuple), names, scopes),
    st.builds(ScaleConcept, concepts, names, numbers, scopes, st.booleans()),
    st.builds(SetWeight, concepts, names, class_names, numbers),
    st.builds(ScaleWeight, concepts, names, class_names, numbers),
    st.builds(ZeroWeight, concepts, names, class_names),
    st.builds(RenameConcept, concepts, names, names),
    st.builds(HideConcept, concepts, names),
    st.builds(HideConcepts, st.lists(concepts, min_size=1, max_size=4, unique=True).map(tuple), names),
    st.builds(
        lambda chosen, name: MergeConcepts(tuple(chosen), tuple(f"n{index}" for index in chosen), name),
        st.lists(concepts, min_size=2, max_size=4, unique=True),
        names,
    ),
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    recipe = Recipe.of(*draw(st.lists(edits, max_size=8)))
    for index in draw(st.lists(st.integers(0, max(0, len(recipe) - 1)), max_size=3)) if len(recipe) else []:
        recipe = recipe.toggle(index)
    return recipe.back_to(draw(st.integers(0, len(recipe))))


@given(recipes())
def test_json_gives_the_same_recipe_back(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json()) == recipe


@given(recipes(), edits)
def test_undo_and_redo_are_inverse_and_append_drops_what_was_undone(recipe: Recipe, edit: object) -> None:
    extended = recipe.append(edit)
    assert extended.active == (*recipe.active, edit)
    assert not extended.can_redo
    assert extended.undo().active == recipe.active
    assert extended.undo().redo() == extended
    assert len(extended) == recipe.position + 1


@given(recipes())
def test_undo_and_redo_stop_at_the_ends(recipe: Recipe) -> None:
    assert recipe.back_to(0).undo() == recipe.back_to(0)
    assert recipe.back_to(len(recipe)).redo() == recipe.back_to(len(recipe))
    assert recipe.back_to(0).active == ()


def test_toggle_takes_one_edit_out_and_puts_it_back() -> None:
    first, second = AblateConcept(1, "sky"), AblateConcept(2, "sea")
    recipe = Recipe.of(first, second)
    assert recipe.toggle(0).active == (second,)
    assert recipe.toggle(0).toggle(0) == recipe


@pytest.mark.parametrize("index", [-1, 1])
def test_toggle_and_back_to_refuse_steps_that_do_not_exist(index: int) -> None:
    recipe = Recipe.of(AblateConcept(1, "sky"))
    with pytest.raises(InvalidInputError):
        recipe.toggle(index)
    with pytest.raises(InvalidInputError):
        recipe.back_to(index * 2)


def test_merges_join_groups_and_the_latest_name_wins() -> None:
    recipe = Recipe.of(
        RenameConcept(4, "d", "dog"),
        MergeConcepts((3, 4), ("c", "dog"), "pet"),
        MergeConcepts((7, 4), ("x", "pet"), "animal"),
        HideConcept(9, "noise"),
        RenameConcept(3, "animal", "creature"),
    )
    decisions = recipe.decisions()
    assert decisions.groups == {7: (7, 3, 4)}
    assert decisions.names == {7: "creature"}
    assert decisions.standing_for == {7: 7, 3: 7, 4: 7}
    assert decisions.hidden == {9}
    undone = recipe.back_to(2).decisions()
    assert undone.groups == {3: (3, 4)}
    assert undone.names == {3: "pet"}


def test_an_edit_written_by_name_stands_for_every_concept_of_that_name() -> None:
    by_name = {"edit": "ablate_concept", "name": "water"}
    text = json.dumps({"edits": [by_name, {"edit": "zero_weight", "name": "sky", "class_name": "dog", "concept": 3}]})
    recipe = Recipe.from_json(text, lambda name: {"water": [5, 8]}[name])
    assert recipe.active == (AblateConcept(5, "water"), AblateConcept(8, "water"), ZeroWeight(3, "sky", "dog"))


def test_position_counts_records_even_where_one_record_makes_several_steps() -> None:
    text = '{"position": 1, "edits": [{"edit": "ablate_concept", "name": "water"}, {"edit": "hide_concept", "concept": 1, "name": "b"}]}'
    recipe = Recipe.from_json(text, lambda name: [5, 8])
    assert recipe.active == (AblateConcept(5, "water"), AblateConcept(8, "water"))
    assert recipe.can_redo


@pytest.mark.parametrize(
    ("record", "parts"),
    [
        ({"edit": "explode", "concept": 1, "name": "a"}, ["edit 0", "field edit", "explode"]),
        ({"edit": ["x"], "concept": 1, "name": "a"}, ["edit 0", "field edit"]),
        ({"edit": "ablate_concept", "concept": -1, "name": "a"}, ["edit 0", "field concept", "-1"]),
        ({"edit": "ablate_concept", "concept": True, "name": "a"}, ["field concept"]),
        ({"edit": "ablate_concept", "concept": 1.5, "name": "a"}, ["field concept"]),
        ({"edit": "ablate_concept", "concept": 1}, ["field name"]),
        ({"edit": "ablate_concept", "name": "a"}, ["field concept is missing"]),
        ({"edit": "set_concept", "concept": 1, "name": "a"}, ["field value", "None"]),
        ({"edit": "set_concept", "concept": 1, "name": "a", "value": "3"}, ["field value"]),
        ({"edit": "scale_concept", "concept": 1, "name": "a", "factor": 1e300}, ["field factor"]),
        ({"edit": "scale_concept", "concept": 1, "name": "a", "factor": float("nan")}, ["field factor"]),
        ({"edit": "scale_concept", "concept": 1, "name": "a", "factor": 10**400}, ["field factor"]),
        ({"edit": "set_weight", "concept": 1, "name": "a", "value": 3}, ["field class_name"]),
        ({"edit": "ablate_concept", "concept": 1, "name": "a", "scope": {"kind": "class"}}, ["field scope", "class_name"]),
        ({"edit": "ablate_concept", "concept": 1, "name": "a", "scope": "all"}, ["field scope", "all"]),
        ({"edit": "ablate_concept", "concept": 1, "name": "a", "colour": 1}, ["unknown field colour"]),
        ({"edit": "ablate_concept", "concept": 1, "name": "a", "enabled": 1}, ["field enabled"]),
        ({"edit": "merge_concepts", "concepts": [1], "names": ["a"], "new_name": "b"}, ["field concepts"]),
        ({"edit": "merge_concepts", "concepts": [1, 1], "names": ["a", "a"], "new_name": "b"}, ["field concepts"]),
        ({"edit": "merge_concepts", "concepts": [1, 2], "names": ["a"], "new_name": "b"}, ["field names"]),
        ("ablate", ["edit 0"]),
    ],
)
def test_a_faulty_edit_is_refused_with_its_number_and_field(record: object, parts: list[str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Recipe.from_json(json.dumps({"schema": 1, "edits": [record]}))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        "{}",
        '{"edits": 3}',
        '{"schema": 2, "edits": []}',
        '{"edits": [], "position": 1}',
        '{"edits": [], "extra": 1}',
    ],
)
def test_a_faulty_document_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Recipe.from_json(text)


def test_check_names_the_edit_that_does_not_fit_the_model() -> None:
    recipe = Recipe.of(AblateConcept(1, "sky"), AblateConcept(99, "sea"))
    with pytest.raises(InvalidInputError, match=r"edit 1 .*concept is 99"):
        recipe.check(12, ["cat"])
    with pytest.raises(InvalidInputError, match="class_name is 'cow'"):
        Recipe.of(ZeroWeight(1, "sky", "cow")).check(12, ["cat"])
    with pytest.raises(InvalidInputError, match="class_name is 'cow'"):
        Recipe.of(AblateConcept(1, "sky", ClassScope("cow"))).back_to(0).check(12, ["cat"])


@settings(max_examples=30)
@given(edits)
def test_every_edit_has_a_line_for_people(edit: object) -> None:
    assert describe(edit)


def test_removed_step_leaves_the_others_in_force() -> None:
    recipe = Recipe.of(AblateConcept(1, "sky"), AblateConcept(2, "sea"), AblateConcept(3, "sand")).undo()
    assert [edit.name for edit in recipe.remove(0).active] == ["sea"]
    assert [edit.name for edit in recipe.remove(2).redo().active] == ["sky", "sea"]
    with pytest.raises(InvalidInputError, match="no step 3"):
        recipe.remove(3)


def test_selection_is_one_edit_and_reads_as_such() -> None:
    recipe = Recipe.of(AblateConcepts((1, 4), "water", ClassScope("cat")))
    assert describe(recipe.active[0]) == "Ablate 2 concepts, “water” for class cat"
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(InvalidInputError, match="field concepts"):
        Recipe.from_json('{"edits": [{"edit": "ablate_concepts", "name": "water", "concepts": []}]}')


def test_several_concepts_are_hidden_by_one_edit_and_shown_again_by_one_undo() -> None:
    recipe = Recipe.of(HideConcepts((1, 4), "noise"))
    assert recipe.decisions().hidden == {1, 4}
    assert recipe.undo().decisions().hidden == frozenset()
    assert describe(recipe.active[0]) == "Hide 2 concepts: noise"
    with pytest.raises(InvalidInputError, match="concept is 4"):
        recipe.check(3, ())
