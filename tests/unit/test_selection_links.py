"""Selections in a URL: what comes back, and what a hostile address cannot do."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbm.core.errors import InvalidInputError
from cbm.ui.frame.links import LARGEST_MEMBER, LONGEST_LINK, Selection, decode_selection, encode_selection, tidy_name


def packed(data: bytes) -> str:
    return "c" + base64.urlsafe_b64encode(zlib.compress(data, 9)).decode().rstrip("=")


@given(st.sets(st.integers(0, 9000), min_size=1, max_size=300), st.text(max_size=80), st.booleans())
def test_address_brings_the_same_selection_back(members: set[int], name: str, narrowed: bool) -> None:
    selection = Selection.of("images", members, name)
    text = encode_selection(selection, narrowed=narrowed)
    assert text is not None
    assert decode_selection(text) == (selection, narrowed)
    assert all(character.isalnum() or character in "-_" for character in text)


def test_members_are_distinct_and_ascending() -> None:
    assert Selection.of("concepts", [5, 3, 5, 1]).members == (1, 3, 5)


@pytest.mark.parametrize("members", [[-1], [LARGEST_MEMBER]])
def test_impossible_ids_are_refused(members: list[int]) -> None:
    with pytest.raises(InvalidInputError):
        Selection.of("concepts", members)


def test_a_selection_of_hundreds_fits_an_address() -> None:
    text = encode_selection(Selection.of("concepts", range(0, 8192, 20)))
    assert text is not None
    assert len(text) < 1000


def test_a_selection_too_long_for_an_address_is_left_out() -> None:
    generator = np.random.default_rng(0)
    assert encode_selection(Selection.of("concepts", generator.integers(0, 200_000, 60_000).tolist())) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c",
        "x" + packed(b"\x00\x01")[1:],
        "c%%%%",
        "cÄÖ",
        packed(b""),
        packed(b"\x09short"),
        packed(b"\x00"),
        packed(b"\x00\x00\x00"),
        packed(b"\x02\xff\xfe\x01"),
        packed(b"\x00\x01")[:-3],
        packed(b"\x00\x01") + "AAAA",
        packed(b"\x00" + bytes(LARGEST_MEMBER // 8) + b"\x01"),
        packed(b"\x00" + bytes(50_000_000)),
        "c" + "A" * (LONGEST_LINK + 1),
    ],
    ids=range(15),
)
def test_cut_changed_or_hostile_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="link was cut off"):
        decode_selection(text)


def test_one_flipped_character_is_noticed() -> None:
    text = encode_selection(Selection.of("concepts", [3, 700, 8000], "wheels"))
    assert text is not None
    changed = text[:12] + ("A" if text[12] != "A" else "B") + text[13:]
    with pytest.raises(InvalidInputError):
        decode_selection(changed)


def test_names_lose_line_breaks_and_control_characters() -> None:
    assert tidy_name("  wheels\n\x00 and\troads ") == "wheels and roads"
    assert tidy_name("\u202e") == "Selection"
