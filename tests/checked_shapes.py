"""The type checker behind the annotations of the library in tests: beartype, where it can read the annotation at all.

`tests/conftest.py` lets jaxtyping's import hook put it on every function and dataclass of the library, so that a shape or a dtype in a
signature that does not hold fails the test that meets it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype
from beartype.door import is_bearable
from beartype.roar import BeartypeException

F = TypeVar("F", bound=Callable[..., Any])
_NUMPYS_TOO = FrozenDict(
    {int: int | np.integer, float: float | int | np.floating | np.integer, bool: bool | np.bool_},
)
"""A number of numpy is as good as one of Python."""
_CONFIGURATION = BeartypeConf(hint_overrides=_NUMPYS_TOO)
_known: dict[Any, bool] = {}


def check(function: F) -> F:
    """`function` with its arguments and result checked against its annotations."""
    for name, annotation in function.__annotations__.items():
        if not _readable(annotation):
            function.__annotations__[name] = Any
    return beartype(conf=_CONFIGURATION)(function)


def _readable(annotation: Any) -> bool:
    """Whether beartype can check it: not `Self` outside a class, not a protocol that is not made for run time, not an open file."""
    if "IO[" in repr(annotation):  # nothing that is opened is an instance of typing.IO
        return False
    try:
        key = (annotation, repr(annotation))
        if key not in _known:
            _known[key] = _bearable(annotation)
        return _known[key]
    except TypeError:  # not hashable
        return _bearable(annotation)


def _bearable(annotation: Any) -> bool:
    try:
        is_bearable(None, annotation, conf=_CONFIGURATION)
    except (BeartypeException, TypeError):
        return False
    return True
