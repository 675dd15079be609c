"""One cache for all that is slow to make, shared by all visitors, within one memory budget.

    @cache.remember("Matching concepts …")
    def matches(root: str, first: str, second: str, least: float) -> Matches: ...

A key is the function, the ids and the small values that it was called with. Arrays are refused: a digest of one takes longer than it saves,
and a sample of one gives stale answers. What was used longest ago goes first when the budget is spent, and what belonged to an artefact
or a workspace goes with it. Equal calls at the same time compute once. Results are shared: nobody may change them.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from threading import Lock, RLock
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

import numpy as np
import streamlit as st
from cachetools import LRUCache
from streamlit.runtime.scriptrunner import get_script_run_ctx

P = ParamSpec("P")
T = TypeVar("T")
_Key = tuple[Hashable, ...]

BUDGET = "CBM_CACHE_MB"
"""Environment variable: megabytes that all cached results may take together."""
_DEFAULT_MEGABYTES = 1024
_SCALARS = (str, int, float, bool, bytes, type(None))
_ARTIFACT = re.compile(r"[a-z_]+-[0-9a-f]{8,64}")
_DEEPEST = 8


class Statistics(NamedTuple):
    entries: int
    bytes: int
    budget: int
    hits: int
    misses: int


@dataclass(frozen=True)
class _Entry(Generic[T]):
    value: T
    bytes: int


class Cache:
    """Results by key, least recently used out first; safe from several threads."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        # One very large result (a backbone's weights, say) leaves room for the rest, rather than taking turns with it or not being kept.
        self._entries: LRUCache[_Key, _Entry[Any]] = LRUCache(budget, getsizeof=lambda entry: min(entry.bytes, max(1, budget // 2)))
        self._lock = RLock()
        self._making: dict[_Key, tuple[Lock, int]] = {}
        self._hits = self._misses = 0

    def get(self, key: _Key, make: Callable[[], T]) -> T:
        """The result for `key`, made where it is missing; an error is raised again and not kept."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._hits += 1
                return found.value
        with self._alone(key):
            with self._lock:
                found = self._entries.get(key)
                if found is not None:
                    self._hits += 1
                    return found.value
                self._misses += 1
            value = make()
            self.put(key, value)
            return value

    def put(self, key: _Key, value: object) -> None:
        """Keep a result that was made elsewhere."""
        entry = _Entry(value, max(1, size_of(value)))
        with self._lock:
            self._entries[key] = entry

    def peek(self, key: _Key) -> Any | None:
        """The result for `key`; None where it is not kept."""
        with self._lock:
            found = self._entries.get(key)
            return None if found is None else found.value

    @contextmanager
    def _alone(self, key: _Key) -> Iterator[None]:
        """One thread at a time for each key."""
        with self._lock:
            lock, waiting = self._making.get(key, (Lock(), 0))
            self._making[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._making[key]
                if waiting > 1:
                    self._making[key] = lock, waiting - 1
                else:
                    del self._making[key]

    def forget(self, gone: Callable[[_Key], bool]) -> None:
        """Drop every result whose key `gone` is true of."""
        with self._lock:
            for key in [key for key in self._entries if gone(key)]:
                del self._entries[key]

    def statistics(self) -> Statistics:
        with self._lock:
            return Statistics(len(self._entries), int(self._entries.currsize), self._budget, self._hits, self._misses)


def remember(spinner: str | None = None, *, seconds: float | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Keep what a function returns, for each set of arguments, in the common cache.

    Arguments are strings, numbers, None, or tuples of these. One whose name begins with "_" is passed on and takes no part in the key:
    something that follows from the others.

    Args:
        spinner: what to say while it is made; nothing by default.
        seconds: how long it holds at most; for what may change without a trace in the arguments.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        name = _name(function)
        names = function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount]

        @wraps(function)
        def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
            given: Mapping[str, object] = {**dict(zip(names, args, strict=False)), **kwargs}
            asked = sorted(argument for argument in given if not argument.startswith("_"))
            window = () if seconds is None else (int(time.monotonic() / seconds),)
            key = (name, *window, *((argument, checked_key(given[argument], argument)) for argument in asked))

            def make() -> T:
                visited = spinner is not None and get_script_run_ctx(suppress_warning=True) is not None
                with st.spinner(spinner) if visited and spinner else nullcontext():
                    return function(*args, **kwargs)

            return _COMMON.get(key, make)

        return remembered

    return decorate


class Shelf(Generic[T]):
    """Results that are made several at a time: looked up and kept one by one, in the common cache."""

    def __init__(self, name: str) -> None:
        self._name = name

    def get(self, *key: object) -> T | None:
        return _COMMON.peek(self._key(key))

    def put(self, *key: object, value: T) -> None:
        _COMMON.put(self._key(key), value)

    def _key(self, key: tuple[object, ...]) -> _Key:
        return self._name, checked_key(key, self._name)


def checked_key(value: object, argument: str) -> Hashable:
    """A value that may be part of a key, told apart from equal ones of another type.

    Raises:
        TypeError: it is no scalar and no tuple of scalars.
    """
    if isinstance(value, tuple):
        return tuple(checked_key(part, argument) for part in value)
    if isinstance(value, _SCALARS):
        return type(value).__name__, value
    raise TypeError(f"{argument} is a {type(value).__name__}: keys of the cache are ids, digests and small values.")


def forget_removed(root: str) -> None:
    """Drop what was made from artefacts that are no longer in a workspace, or from a workspace that is gone."""
    artifacts, there = Path(root) / "artifacts", Path(root).is_dir()
    here = {folder.name for folder in artifacts.iterdir()} if artifacts.is_dir() else set()

    def gone(key: _Key) -> bool:
        texts = set(_texts(key))
        return root in texts and (not there or any(_ARTIFACT.fullmatch(text) and text not in here for text in texts))

    _COMMON.forget(gone)


def forget(function: Callable[..., object]) -> None:
    """Drop what a remembered function returned so far."""
    name = _name(function)
    _COMMON.forget(lambda key: key[0] == name)


def statistics() -> Statistics:
    """How full the common cache is, and how often it helped."""
    return _COMMON.statistics()


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _texts(key: object) -> Iterator[str]:
    if isinstance(key, str):
        yield key
    elif isinstance(key, tuple):
        for part in key:
            yield from _texts(part)


def size_of(value: object) -> int:
    """About how many bytes of memory a result takes: exact for arrays, tensors and texts, which are what is large. Memory maps are free."""
    return _size_of(value, set(), _DEEPEST)


def _size_of(value: object, seen: set[int], depth: int) -> int:
    if id(value) in seen or depth == 0:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        base = value if value.base is None else value.base
        return 0 if isinstance(value, np.memmap) or isinstance(base, np.memmap) else value.nbytes
    if isinstance(value, str | bytes | int | float | bool | type(None)):
        return sys.getsizeof(value)
    # Tensors, data frames, sparse matrices and pictures, without importing their libraries for the question.
    for measure in _MEASURES:
        found = measure(value)
        if found is not None:
            return found
    parts: Iterator[object]
    if isinstance(value, Mapping):
        parts = (part for item in list(value.items()) for part in item)
    elif isinstance(value, list | tuple | set | frozenset):
        parts = iter(value)
    elif is_dataclass(value) and not isinstance(value, type):
        parts = iter([getattr(value, entry.name, None) for entry in fields(value)] + list(getattr(value, "__dict__", {}).values()))
    else:
        parts = iter(list(getattr(value, "__dict__", {}).values()))
    return sys.getsizeof(value) + sum(_size_of(part, seen, depth - 1) for part in parts)


def _tensor(value: Any) -> int | None:
    return value.element_size() * value.nelement() if hasattr(value, "element_size") and hasattr(value, "nelement") else None


def _module(value: Any) -> int | None:
    if not (hasattr(value, "parameters") and hasattr(value, "buffers") and hasattr(value, "state_dict")):
        return None
    return sum(_tensor(part) or 0 for parts in (value.parameters(), value.buffers()) for part in parts)


def _frame(value: Any) -> int | None:
    return int(value.memory_usage(deep=True).sum()) if hasattr(value, "memory_usage") and hasattr(value, "columns") else None


def _sparse(value: Any) -> int | None:
    return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes if hasattr(value, "indptr") else None


def _picture(value: Any) -> int | None:
    return value.width * value.height * len(value.getbands()) if hasattr(value, "getbands") else None


_MEASURES = (_tensor, _module, _frame, _sparse, _picture)
_COMMON = Cache(int(float(os.environ.get(BUDGET) or _DEFAULT_MEGABYTES) * 2**20))
