"""The pages' common cache: one memory budget, keys without arrays, and nothing kept of what was removed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cbm.ui.frame import cache
from cbm.ui.frame.cache import Cache, size_of


@dataclass(frozen=True)
class Pair:
    left: np.ndarray
    right: np.ndarray


def test_least_recently_used_goes_first_when_the_budget_is_spent() -> None:
    kept = Cache(3 * 1000)
    for name in "abc":
        kept.get((name,), lambda: np.zeros(1000, np.uint8))
    kept.get(("a",), lambda: pytest.fail("a was dropped"))
    kept.get(("d",), lambda: np.zeros(1000, np.uint8))
    made = []
    kept.get(("a",), lambda: made.append("a"))
    kept.get(("c",), lambda: made.append("c"))
    kept.get(("b",), lambda: made.append("b"))
    assert made == ["b"]
    assert kept.statistics().bytes <= 3000


def test_what_is_larger_than_the_budget_is_kept_and_leaves_room_for_the_rest() -> None:
    kept = Cache(1000)
    kept.get(("small",), lambda: np.zeros(400, np.uint8))
    large = kept.get(("large",), lambda: np.zeros(5000, np.uint8))
    assert kept.get(("large",), lambda: pytest.fail("made again")) is large
    kept.get(("small",), lambda: pytest.fail("made again"))
    kept.get(("another",), lambda: np.zeros(400, np.uint8))
    assert kept.statistics().entries == 2


def test_shelf_keeps_what_was_made_elsewhere() -> None:
    shelf: cache.Shelf[np.ndarray] = cache.Shelf("patches of a test")
    patches = np.ones(3)
    assert shelf.get("b-32", "a.png") is None
    shelf.put("b-32", "a.png", value=patches)
    assert shelf.get("b-32", "a.png") is patches
    assert shelf.get("b-32", "b.png") is None


def test_what_holds_for_seconds_is_made_again_after_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    calls = []

    @cache.remember(seconds=100)
    def looked(root: str) -> None:
        calls.append(now)

    looked("/somewhere")
    now = 1099.0
    looked("/somewhere")
    now = 1100.0
    looked("/somewhere")
    assert calls == [1000.0, 1100.0]


def test_a_function_can_be_asked_anew() -> None:
    calls = []

    @cache.remember()
    def listed(root: str) -> None:
        calls.append(root)

    listed("/asked")
    cache.forget(listed)
    listed("/asked")
    assert len(calls) == 2


def test_sizes_are_those_of_the_arrays_counted_once(tmp_path: Path) -> None:
    array = np.zeros(10_000, np.float32)
    assert size_of(array) == 40_000
    assert 40_000 <= size_of(Pair(array, array)) < 42_000
    assert 80_000 <= size_of([Pair(array, array.copy())]) < 83_000
    assert 3 * 10**6 <= size_of({"text": "a" * 3 * 10**6}) < 3 * 10**6 + 2000
    np.save(tmp_path / "big.npy", np.zeros(10_000))
    assert size_of(np.load(tmp_path / "big.npy", mmap_mode="r")) == 0


def test_tensors_modules_frames_and_pictures_have_their_size() -> None:
    import pandas as pd
    import torch
    from PIL import Image

    assert size_of(torch.zeros(1000)) == 4000
    assert size_of(torch.nn.Linear(100, 10)) == 4 * 1010
    assert size_of(Image.new("RGB", (100, 50))) == 15_000
    assert size_of(pd.DataFrame({"a": np.zeros(1000)}, index=range(1000))) >= 8000


def test_equal_calls_at_the_same_time_compute_once() -> None:
    kept, made, start = Cache(10**6), [], threading.Barrier(8)

    def make() -> int:
        made.append(threading.get_ident())
        time.sleep(0.05)
        return 7

    def ask() -> None:
        start.wait()
        assert kept.get(("slow",), make) == 7

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert kept.statistics()[3:] == (7, 1)


def test_error_is_raised_again_and_not_kept() -> None:
    kept = Cache(1000)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            kept.get(("a",), lambda: 1 // 0)
    assert kept.get(("a",), lambda: 3) == 3


def test_key_is_the_function_and_its_arguments_however_they_are_passed() -> None:
    calls = []

    @cache.remember()
    def scaled(root: str, model: str, factor: float, _study: object = None) -> str:
        calls.append((root, model, factor))
        return f"{model} {factor}"

    assert scaled("/w", "model-0011223344", 2.0) == scaled("/w", model="model-0011223344", factor=2.0)
    assert len(calls) == 1
    scaled("/w", "model-0011223344", 2.0, _study=object())
    assert len(calls) == 1
    scaled("/w", "model-0011223344", 3.0)
    scaled("/v", "model-0011223344", 2.0)
    assert len(calls) == 3


def test_one_and_true_are_different_keys() -> None:
    @cache.remember()
    def kind(value: object) -> str:
        return type(value).__name__

    assert (kind(1), kind(True), kind(1.0)) == ("int", "bool", "float")


def test_arrays_are_no_keys() -> None:
    @cache.remember()
    def total(values: object) -> float:
        return float(np.sum(values))

    for value in (np.zeros(3), [1, 2], {"a": 1}, ("a", np.zeros(2))):
        with pytest.raises(TypeError, match="values is a"):
            total(value)


def test_what_was_made_from_a_removed_artefact_is_forgotten(tmp_path: Path) -> None:
    calls = []

    @cache.remember()
    def opened(root: str, identifiers: tuple[str, ...]) -> int:
        calls.append(identifiers)
        return len(calls)

    root = str(tmp_path)
    kept, gone = "model-00aa11bb22", "embeddings-33cc44dd55"
    for name in (kept, gone):
        (tmp_path / "artifacts" / name).mkdir(parents=True)
    opened(root, (kept,))
    opened(root, (kept, gone))
    (tmp_path / "artifacts" / gone).rmdir()
    cache.forget_removed(root)
    opened(root, (kept,))
    assert len(calls) == 2
    opened(root, (kept, gone))
    assert len(calls) == 3


def test_everything_of_a_deleted_workspace_is_forgotten(tmp_path: Path) -> None:
    calls = []

    @cache.remember()
    def listed(root: str) -> None:
        calls.append(root)

    here, gone = tmp_path / "here", tmp_path / "gone"
    here.mkdir()
    listed(str(here))
    listed(str(gone))
    cache.forget_removed(str(here))
    cache.forget_removed(str(gone))
    listed(str(here))
    assert len(calls) == 2
    listed(str(gone))
    assert len(calls) == 3
