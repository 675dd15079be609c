"""Bottlenecks by name: whatever kind a folder holds, it is read here."""

from __future__ import annotations

from pathlib import Path

from cbm.core.bottleneck import Bottleneck, read_bottleneck
from cbm.registry import BOTTLENECKS


def load_bottleneck(folder: Path) -> Bottleneck:
    """The bottleneck that `Bottleneck.save` wrote into `folder`; see `cbm.core.bottleneck.read_bottleneck`."""
    return read_bottleneck(folder, BOTTLENECKS)
