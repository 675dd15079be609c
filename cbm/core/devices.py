"""Where tensors are computed, and in which precision."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from cbm.core.errors import InvalidInputError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")
_PROBE_SECONDS = 0.05
_PROBE_SIZE = 256


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes CUDA, then MPS, then the CPU.

    Raises:
        InvalidInputError: this machine has no such device.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, present in available.items() if present))
    if name.partition(":")[0] not in available:
        raise InvalidInputError(f"Unknown device {name!r}; devices are {', '.join(DEVICES)}.")
    if not available[name.partition(":")[0]]:
        raise InvalidInputError(f"This machine has no usable {name} device; use --device auto or cpu.")
    return torch.device(name)


@functools.cache
def bfloat16_pays(device: torch.device) -> bool:
    """Whether bf16 matrix products beat fp32 on `device`, measured: on many CPUs they are hundreds of times slower."""
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu":
        return False

    def seconds_per_product(dtype: torch.dtype) -> float:
        matrix = torch.ones(_PROBE_SIZE, _PROBE_SIZE, dtype=dtype)
        matrix @ matrix
        start = time.perf_counter()
        products = 0
        while time.perf_counter() - start < _PROBE_SECONDS / 2:
            matrix @ matrix
            products += 1
        return (time.perf_counter() - start) / products

    return seconds_per_product(torch.bfloat16) < 0.8 * seconds_per_product(torch.float32)
