"""Lists of names as people write them: files of any size, spelling variants, and what ships."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbm.core.errors import InvalidInputError, NotFoundError
from cbm.names.names import LONGEST_NAME, distinct_names, load_names, read_names, same_name_key


def test_blanks_comments_marks_and_repetitions_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeffdog\r\n\r\n# animals\r\n  Cat  \r\nDOG\rfire truck\nfire-truck\nfire_truck\ncafé\n".encode())
    assert read_names(file) == ("dog", "Cat", "fire truck", "café")


def test_a_list_of_more_than_100_000_names_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "many.txt"
    file.write_text("\n".join(f"name {number}" for number in range(120_000)))
    assert len(read_names(file)) == 120_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"dog\n" + b"x" * (LONGEST_NAME + 1), "Line 2 has 201 characters"),
        (b"dog\nc\x00t\n", "control characters"),
        (b"\xff\xfed\x00o\x00g\x00", "not UTF-8"),
        (b"\n# only a comment\n\n", "no names"),
        (b"", "no names"),
    ],
)
def test_what_is_no_list_of_names_is_refused_with_its_file(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message) as caught:
        read_names(file)
    assert str(file) in str(caught.value)


def test_an_unknown_source_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'english', 'attributes', 'scenes'"):
        load_names(tmp_path / "absent.txt")


@given(st.lists(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)))
def test_distinct_names_are_distinct_and_a_second_pass_changes_nothing(lines: list[str]) -> None:
    names = distinct_names(lines)
    keys = [same_name_key(name) for name in names]
    assert len(set(keys)) == len(keys)
    assert distinct_names(names) == names
    assert set(keys) == {same_name_key(line) for line in lines if line.strip() and not line.strip().startswith("#")}


def test_english_ships_with_about_20_000_names_for_what_can_be_seen() -> None:
    names = load_names("english")
    assert 19_000 <= len(names) <= 21_000
    assert {"dog", "red", "striped", "fire truck", "beach", "wet", "snow"} <= set(names)
    assert not {"the", "of", "because", "therefore", "idea"} & set(names)


def test_attributes_ship_with_colours_materials_textures_and_scenes() -> None:
    assert {"red", "wood", "fluffy", "striped", "round", "wet", "forest", "white background"} <= set(load_names("attributes"))


def test_the_demo_world_has_a_vocabulary_with_its_own_concepts() -> None:
    scenes = pytest.importorskip("cbm.images.scenes")
    names = {same_name_key(name) for name in load_names("scenes")}
    assert {same_name_key(concept.name) for concept in scenes.CONCEPTS} <= names
