"""Small jobs, one that never ends, and a look at the processes that run them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cbm.jobs import Job, Jobs

PATIENCE = 280.0
"""Seconds until a test gives up; nothing here is a measurement."""


def wait(jobs: Jobs, identifier: str, until: Callable[[Job], bool]) -> Job:
    end = time.monotonic() + PATIENCE
    while not until(job := jobs.get(identifier)):
        assert time.monotonic() < end, f"still {job}"
        time.sleep(0.05)
    return job


def ended(job: Job) -> bool:
    return not job.live


def vectors(tmp_path: Path, name: str = "vectors.npz") -> dict[str, str]:
    random = np.random.default_rng(0)
    np.savez(tmp_path / name, embeddings=random.normal(size=(7, 512)).astype(np.float32), labels=np.arange(7) % 2)
    return {"source": str(tmp_path / name), "backbone": "ViT-B-32", "pretrained": "openai"}


def endless(tmp_path: Path, name: str = "endless.npz") -> dict[str, str]:
    """A request that waits for data from a pipe for ever, in a verb that does not ask whether it should stop."""
    os.mkfifo(tmp_path / name)
    return {"source": str(tmp_path / name), "backbone": "ViT-B-32", "pretrained": "openai"}


def child_of(job: Job) -> int:
    """The number of the job's process, once it has begun to import the verb."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended while we looked
            command = file.read_bytes().split(b"\0")
            if b"cbm.jobs.child" in command and job.id.encode() in command:
                found.append(int(file.parent.name))
    assert len(found) == 1, found
    return found[0]


def gone(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it ends between the opening and the reading
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def until_gone(process: int) -> None:
    end = time.monotonic() + PATIENCE
    while not gone(process):
        assert time.monotonic() < end
        time.sleep(0.05)
