"""What one visitor may ask for, checked before anything is read, kept or computed. Every refusal for quantity is worded here.

Widgets only repeat these limits; they hold here, whatever a browser sends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cbm.jobs import Job, Jobs
from cbm.ui.access import modes, visitors
from cbm.ui.access.limits import MEGABYTE, LimitError, Limits, SlidingWindow
from cbm.workspace.workspace import Workspace

CHECKPOINTS = "CBM_CHECKPOINTS"
"""Folders whose weights the models of a hosted app may use."""
_ENCODINGS = SlidingWindow()


def check_weights(architecture: str, pretrained: str | None) -> None:
    """A backbone that is about to be loaded for a visitor's model, which may say anything about where its files lie.

    Raises:
        NotAllowedError: hosted, and its configuration or its weights are a file outside the folders that `CBM_CHECKPOINTS` lists.
    """
    if modes.mode() is not modes.Mode.HOSTED:
        return
    folders = [Path(folder) for folder in os.environ.get(CHECKPOINTS, "").split(os.pathsep) if folder]
    for named in (architecture, pretrained or ""):
        if visitors.is_path(named) and not any(visitors.is_below(Path(named), folder) for folder in folders):
            modes.require_paths()


def check_upload(name: str, size: int) -> None:
    """One file that is to be read.

    Args:
        size: in bytes.

    Raises:
        LimitError: it is too large.
    """
    allowed = modes.limits().max_upload_bytes
    if size > allowed:
        raise LimitError(
            f"{name} has {size / MEGABYTE:,.1f} MB; a file may have {allowed / MEGABYTE:,.0f} MB here. "
            "Upload a smaller one: images need no more than 512 pixels a side."
        )


def check_uploads(sizes: Mapping[str, int], *, kept: bool = True) -> None:
    """Several files that are uploaded together.

    Args:
        sizes: file name to size in bytes.
        kept: whether they are written to the workspace, rather than looked at in memory.

    Raises:
        NotAllowedError: they are to be kept, and nothing can be.
        LimitError: too many, or too large alone or together.
    """
    if kept:
        modes.require_write()
    bounds = modes.limits()
    if len(sizes) > bounds.max_uploads:
        many = "one file" if bounds.max_uploads == 1 else f"{bounds.max_uploads:,} files"
        advice = "Choose a single image." if bounds.max_uploads == 1 else "Put them into a zip archive, or choose fewer."
        raise LimitError(f"{len(sizes):,} files were chosen; {many} can be uploaded at once here. {advice}")
    for name, size in sizes.items():
        check_upload(name, size)
    if kept:
        check_kept(sum(sizes.values()))


def check_kept(more: int = 0) -> None:
    """The uploads in the visitor's workspace, with `more` bytes that are to be added.

    Raises:
        LimitError: they are more than may be kept.
    """
    allowed = modes.limits().max_kept_bytes
    if allowed is not None and (before := visitors.kept_bytes(Path(modes.workspace_root()))) + more > allowed:
        these = f"these files have {more / MEGABYTE:,.0f} MB" if more else "that is with these files, unpacked"
        raise LimitError(
            f"This workspace holds {before / MEGABYTE:,.0f} MB of uploads and may hold {allowed / MEGABYTE:,.0f} MB; {these}. "
            "Choose fewer or smaller images, or delete your data and start again."
        )


def check_images(count: int) -> None:
    """The images of one data set, as they are known once its archive was opened.

    Raises:
        LimitError: there are too many.
    """
    allowed = modes.limits().max_images
    if allowed is not None and count > allowed:
        raise LimitError(f"{count:,} images exceed the {allowed:,} allowed per data set here. Upload fewer.")


def check_text(text: str, what: str = "The text") -> None:
    """What a visitor typed.

    Raises:
        LimitError: it is too long.
    """
    allowed = modes.limits().max_text
    if len(text) > allowed:
        raise LimitError(f"{what} has {len(text):,} characters; {allowed} are allowed. Shorten it.")


def check_encoding(count: int = 1) -> None:
    """Texts or single images that are about to be encoded while the visitor waits; each is counted.

    Raises:
        LimitError: too many within an hour.
    """
    allowed = modes.limits().encodings_per_hour
    if allowed is None:
        return
    wait = _ENCODINGS.take(modes.visitor(), allowed, count)
    if wait is not None:
        raise LimitError(f"{allowed:,} texts or images per hour can be encoded here per visitor. Wait {_duration(wait)}, and try again.")


def check_job(parameters: Mapping[str, Any] | None = None) -> None:
    """A job that is about to be submitted in the visitor's workspace; begins with `modes.require_write`.

    Args:
        parameters: of the verb; where the app is hosted, paths among them must lead into the visitor's own workspace.

    Raises:
        NotAllowedError: in demo mode, or a path leads elsewhere.
        LimitError: too many run, wait, or ran within an hour.
    """
    modes.require_write()
    bounds = modes.limits()
    for name, given in (parameters or {}).items():
        if isinstance(given, Mapping):
            # Settings of a part. Texts in there, such as a recipe's names, lead nowhere.
            for inner, value in given.items():
                _check_size(inner, value, bounds)
        _check_size(name, given, bounds)
        for value in given if isinstance(given, list | tuple) else (given,):
            _check_path(value)
    if bounds.max_jobs is None:
        return
    own = Jobs(Workspace(modes.workspace_root())).list()
    live = [job for job in own if job.live]
    if len(live) >= bounds.max_jobs:
        raise LimitError(
            f"{len(live)} of your jobs are running or waiting; {bounds.max_jobs} are allowed. Wait for one to finish, or cancel one."
        )
    _check_hour(own, bounds)
    if bounds.max_jobs_of_all is not None and visitors.live_jobs(modes.base()) >= bounds.max_jobs_of_all:
        raise LimitError("The server is busy with the jobs of other visitors. Your work is safe; try again in a few minutes.")


def _check_size(name: str, value: object, bounds: Limits) -> None:
    allowed = bounds.max_settings.get(name)
    for number in value if isinstance(value, list | tuple) else (value,):
        if isinstance(number, int | float) and allowed is not None and not number <= allowed:
            raise LimitError(
                f"{name} is {number:,}; {allowed:,} is the limit here. Choose less, or install CBM Studio on your own machine."
            )


def _check_path(value: object) -> None:
    if modes.may_use_paths() or not isinstance(value, str):
        return
    if value.startswith("scenes:"):
        from cbm.images.sources import open_source

        check_images(len(open_source(value)))
    elif visitors.is_path(value) and not visitors.is_below(Path(value), Path(modes.workspace_root())):
        modes.require_paths()


def _check_hour(own: list[Job], bounds: Limits) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    recent = sorted(job.created for job in own if job.created > hour_ago)
    if bounds.jobs_per_hour is not None and len(recent) >= bounds.jobs_per_hour:
        wait = (recent[-bounds.jobs_per_hour] - hour_ago).total_seconds()
        raise LimitError(f"{bounds.jobs_per_hour} jobs per hour can be started here per visitor. Wait {_duration(wait)}, and try again.")


def _duration(seconds: float) -> str:
    minutes = -(-int(seconds) // 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"
