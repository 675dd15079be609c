import pytest

from cbm.core.devices import choose_device
from cbm.core.errors import InvalidInputError
from cbm.core.progress import Progress


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="tpu"):
        choose_device("tpu")


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu").type == "cpu"


def test_fraction_of_nothing_is_zero() -> None:
    assert Progress(0, 0, "").fraction == 0.0
    assert Progress(3, 4, "").fraction == 0.75
