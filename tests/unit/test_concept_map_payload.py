"""What the map's component gets and what it sends back, which may be anything."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from cbm.study.concept_map import Region
from cbm.ui.widgets.components.concept_map import MapPoints, _event, pack_bits, pack_points, unpack_bits

SIZE = 5


def packed(**changes: object) -> MapPoints:
    values: dict[str, object] = {
        "shown": np.array([1, 1, 0, 1, 1], bool),
        "named": np.array([1, 0, 1, 1, 1], bool),
        "frequency": np.array([0.0, 0.01, 0.5, 0.25, 0.02], np.float32),
        "score": np.array([0.1, np.nan, 0.3, 0.2, -0.4], np.float32),
        "top_class": np.array([-1, 0, 1, 1, 0]),
        "classes": ("cat", "dög"),
        "regions": (Region("pets", 0.25, -0.5, 0, 4),),
    }
    positions = np.array([[-1, 1], [0, 0], [0.5, -0.5], [2, -2], [0.1, 0.1]], np.float32)
    return pack_points(positions, ["a", "unnamed 1", "ç", "d</script>", "e"], **{**values, **changes})  # type: ignore[arg-type]


def read(points: MapPoints) -> tuple[dict[str, object], list[np.ndarray]]:
    length = struct.unpack_from("<I", points.payload)[0]
    about, offset, columns = json.loads(points.payload[4 : 4 + length]), 4 + length, []
    for kind in ("<u2", "<u2", "<u2", "<u2", "u1", "u1", "u1"):
        column = np.frombuffer(points.payload, kind, SIZE, offset)
        columns.append(column)
        offset += column.nbytes
    assert offset == len(points.payload)
    return about, columns


def test_points_arrive_as_they_were_packed() -> None:
    points = packed()
    about, (across, down, top_class, share, frequency, score, flags) = read(points)
    assert about["names"] == ["a", "unnamed 1", "ç", "d</script>", "e"]
    assert about["digest"] == points.digest
    assert about["regions"] == [["pets", 0.25, -0.5, 0]]
    assert across.tolist() == [0, 32768, 49151, 65535, 36044]
    assert down.tolist() == [65535, 32768, 16384, 0, 36044]
    assert top_class.tolist() == [0, 1, 2, 2, 1]
    assert share.tolist() == [0, 655, 32768, 16384, 1311]
    assert frequency[0] == 0
    assert frequency[2] == 255
    assert score[1] == 0
    assert score[3] == 255
    assert flags.tolist() == [3, 1, 2, 3, 3]


def test_the_digest_follows_names_and_numbers() -> None:
    assert packed().digest == packed().digest
    assert packed(classes=("cat", "cow")).digest != packed().digest
    assert packed(shown=np.ones(SIZE, bool)).digest != packed().digest


def test_bits_go_there_and_back() -> None:
    mask = np.random.default_rng(0).random(1000) < 0.3
    assert unpack_bits(pack_bits(mask), 1000) == tuple(np.flatnonzero(mask).tolist())


@pytest.mark.parametrize("text", [None, 3, "%%%", "A", "ÄÄÄÄ", "A" * 10_000_000, {"a": 1}])
def test_bits_that_make_no_sense_are_none(text: object) -> None:
    assert unpack_bits(text, 1000) == ()


@pytest.mark.parametrize("size", range(1, 30))
def test_all_of_few_concepts_can_be_selected(size: int) -> None:
    assert unpack_bits(pack_bits(np.ones(size, bool)), size) == tuple(range(size))


def test_bits_beyond_the_concepts_are_dropped() -> None:
    assert unpack_bits(pack_bits(np.ones(64, bool)), 10) == ()
    assert unpack_bits(pack_bits(np.ones(16, bool)), 10) == tuple(range(10))


def test_events_are_checked() -> None:
    event = _event({"opened": 3, "lasso": None, "wanted": [1, "x", 99, 2, 4]}, SIZE)
    assert event.opened == 3
    assert event.selected is None
    assert event.wanted == (1, 2)
    for opened in (SIZE, -1, True, "1", 1.0, [1]):
        assert _event({"opened": opened}, SIZE).opened is None
    assert _event({"wanted": {"0": 1}, "cleared": "yes"}, SIZE) == _event({}, SIZE)
