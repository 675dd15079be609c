"""Who may do what: the mode that the app runs in, its limits, and the workspace that a visitor sees.

`CBM_MODE` is `local` (one person's own machine, the default), `hosted` (many visitors, each with a workspace of their own) or `demo`
(nothing can be written). Limits hold here, in Python; widgets only repeat them. Every writer calls `require_write`, or one of the checks
that begin with it: `check_uploads` (kept uploads) and `check_job`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbm.core.errors import CbmError, InvalidInputError
from cbm.jobs import Job, Jobs
from cbm.ui.access import visitors
from cbm.ui.access.limits import DEMO, HOSTED, LOCAL, MEGABYTE, Limits, SlidingWindow
from cbm.ui.frame import addresses
from cbm.workspace.workspace import Workspace

WORKSPACE = "workspace"
"""The query parameter that leads a visitor of a hosted app back to their workspace: whoever has it, has the workspace."""
CHECKPOINTS = "CBM_CHECKPOINTS"
"""Folders whose weights the models of a hosted app may use."""
_ENCODINGS = SlidingWindow()


class Mode(StrEnum):
    LOCAL = "local"
    HOSTED = "hosted"
    DEMO = "demo"


class NotAllowedError(CbmError):
    """The mode that the app runs in does not allow this."""


class LimitError(CbmError):
    """More than one visitor may ask for; the message says how much that is and what to do."""


def mode() -> Mode:
    """What `CBM_MODE` says.

    Raises:
        InvalidInputError: it says something else than local, hosted or demo.
    """
    asked = os.environ.get("CBM_MODE") or Mode.LOCAL
    if asked not in list(Mode):
        raise InvalidInputError(f"CBM_MODE is {asked!r}; it must be local, hosted or demo. Set it right and start the app again.")
    return Mode(asked)


def limits() -> Limits:
    """How much one visitor may ask for in this mode."""
    return {Mode.LOCAL: LOCAL, Mode.HOSTED: HOSTED, Mode.DEMO: DEMO}[mode()]


def server_options() -> list[str]:
    """Options of `streamlit run` that depend on the mode: strangers send no more than they may, and see no names of errors."""
    if mode() is Mode.LOCAL:
        return []
    # The browser is told the smallest whole number of megabytes; the exact limit is checked here.
    return ["--server.maxUploadSize", str(-(-limits().max_upload_bytes // MEGABYTE)), "--client.showErrorDetails", "none"]


def may_write() -> bool:
    """Whether anything can be uploaded, computed or kept."""
    return mode() is not Mode.DEMO


def may_use_paths() -> bool:
    """Whether folders and files of the machine may be named."""
    return mode() is Mode.LOCAL


def require_writing_mode() -> None:
    """First thing on pages that are there for writing; looking at them writes nothing.

    Raises:
        NotAllowedError: in demo mode.
    """
    if not may_write():
        raise NotAllowedError("This is a read-only demo. Install CBM Studio to work with images of your own.")


def require_write() -> None:
    """First thing in whatever writes to the workspace or submits a job. From then on a hosted visitor owns the workspace.

    Raises:
        NotAllowedError: in demo mode.
    """
    require_writing_mode()
    if mode() is Mode.HOSTED:
        visitors.own(_visitor_root())
        put_address()


def require_paths() -> None:
    """First thing in whatever reads a path on the server, model checkpoints included.

    Raises:
        NotAllowedError: unless the app runs on the visitor's own machine.
    """
    if not may_use_paths():
        raise NotAllowedError("Folders and files of the server cannot be read here. Upload the images instead.")


def check_weights(architecture: str, pretrained: str | None) -> None:
    """A backbone that is about to be loaded for a visitor's model, which may say anything about where its files lie.

    Raises:
        NotAllowedError: hosted, and its configuration or its weights are a file outside the folders that `CBM_CHECKPOINTS` lists.
    """
    if mode() is not Mode.HOSTED:
        return
    folders = [Path(folder) for folder in os.environ.get(CHECKPOINTS, "").split(os.pathsep) if folder]
    for named in (architecture, pretrained or ""):
        if visitors.is_path(named) and not any(visitors.is_below(Path(named), folder) for folder in folders):
            require_paths()


# Limits


def check_upload(name: str, size: int) -> None:
    """One file that is to be read.

    Args:
        size: in bytes.

    Raises:
        LimitError: it is too large.
    """
    allowed = limits().max_upload_bytes
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
        require_write()
    bounds = limits()
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
    allowed = limits().max_kept_bytes
    if allowed is not None and (before := visitors.kept_bytes(Path(workspace_root()))) + more > allowed:
        these = f"these files have {more / MEGABYTE:,.0f} MB" if more else "that is with these files, unpacked"
        raise LimitError(
            f"This workspace holds {before / MEGABYTE:,.0f} MB of uploads and may hold {allowed / MEGABYTE:,.0f} MB; {these}. "
            "Choose fewer or smaller images, or delete your data and begin anew."
        )


def check_images(count: int) -> None:
    """The images of one data set, as they are known once its archive was opened.

    Raises:
        LimitError: there are too many.
    """
    allowed = limits().max_images
    if allowed is not None and count > allowed:
        raise LimitError(f"{count:,} images are more than the {allowed:,} that a data set may have here. Upload a part of them.")


def check_text(text: str, what: str = "The text") -> None:
    """What a visitor typed.

    Raises:
        LimitError: it is too long.
    """
    allowed = limits().max_text
    if len(text) > allowed:
        raise LimitError(f"{what} has {len(text):,} characters; {allowed} are the most. Shorten it.")


def check_encoding(count: int = 1) -> None:
    """Texts or single images that are about to be encoded while the visitor waits; each is counted.

    Raises:
        LimitError: too many within an hour.
    """
    allowed = limits().encodings_per_hour
    if allowed is None:
        return
    wait = _ENCODINGS.take(_who(), allowed, count)
    if wait is not None:
        raise LimitError(
            f"{allowed:,} texts or images an hour can be encoded here for each visitor. Wait {_duration(wait)}, and try again."
        )


def check_job(parameters: Mapping[str, Any] | None = None) -> None:
    """A job that is about to be submitted in the visitor's workspace; begins with `require_write`.

    Args:
        parameters: of the verb; where the app is hosted, paths among them must lead into the visitor's own workspace.

    Raises:
        NotAllowedError: in demo mode, or a path leads elsewhere.
        LimitError: too many run, wait, or ran within an hour.
    """
    require_write()
    bounds = limits()
    for name, given in (parameters or {}).items():
        for value in given if isinstance(given, list | tuple) else (given,):
            _check_parameter(name, value, bounds.max_settings.get(name))
    if bounds.max_jobs is None:
        return
    own = Jobs(Workspace(workspace_root())).list()
    live = [job for job in own if job.live]
    if len(live) >= bounds.max_jobs:
        raise LimitError(f"{len(live)} of your jobs run or wait; {bounds.max_jobs} are the most. Wait for one to end, or cancel one.")
    _check_hour(own, bounds)
    if bounds.max_jobs_of_all is not None and visitors.live_jobs(_base()) >= bounds.max_jobs_of_all:
        raise LimitError("The server is busy with the jobs of other visitors. Nothing of yours is lost: try again in a few minutes.")


def _check_parameter(name: str, value: object, allowed: float | None) -> None:
    if isinstance(value, int | float) and allowed is not None and not value <= allowed:
        raise LimitError(f"{name} is {value:,}; {allowed:,} is the most here. Choose less, or install CBM Studio on a machine of your own.")
    if may_use_paths() or not isinstance(value, str):
        return
    if value.startswith("scenes:"):
        from cbm.images.sources import open_source

        check_images(len(open_source(value)))
    elif visitors.is_path(value) and not visitors.is_below(Path(value), Path(workspace_root())):
        require_paths()


def _check_hour(own: list[Job], bounds: Limits) -> None:
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    recent = sorted(job.created for job in own if job.created > hour_ago)
    if bounds.jobs_per_hour is not None and len(recent) >= bounds.jobs_per_hour:
        wait = (recent[-bounds.jobs_per_hour] - hour_ago).total_seconds()
        raise LimitError(
            f"{bounds.jobs_per_hour} jobs an hour can be started here for each visitor. Wait {_duration(wait)}, and try again."
        )


def _duration(seconds: float) -> str:
    minutes = -(-int(seconds) // 60)
    return "a minute" if minutes <= 1 else f"{minutes} minutes"


# Workspaces


def workspace_root() -> str:
    """The folder that this visitor sees: `CBM_WORKSPACE`, or the checkout's own; where the app is hosted, the visitor's below it."""
    return str(_visitor_root() if mode() is Mode.HOSTED else _base())


def owns_workspace() -> bool:
    """Whether a hosted visitor has uploaded or made anything, so that the address should lead back to it."""
    return mode() is Mode.HOSTED and visitors.is_owned(_visitor_root())


def address() -> dict[str, str]:
    """Query parameters that a link needs to lead to the same workspace; part of every `session.link`."""
    return {WORKSPACE: str(st.session_state[WORKSPACE])} if owns_workspace() else {}


def put_address() -> None:
    """Keep the way back to the workspace in the address, which every change of page empties."""
    for name, value in address().items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def delete_my_data() -> None:
    """Delete the visitor's workspace at once, with all uploads and jobs, and forget what the session knows about it."""
    if mode() is not Mode.HOSTED:
        raise NotAllowedError("Only a hosted app keeps data for its visitors; here the workspace is your own folder.")
    visitors.delete(_visitor_root())
    st.session_state.clear()
    addresses.clear()


def _base() -> Path:
    return Workspace().root


def _who() -> str:
    context = get_script_run_ctx()
    if mode() is Mode.HOSTED:
        return _visitor_root().name
    return "" if context is None else context.session_id


def _visitor_root() -> Path:
    """The visitor's workspace, made where it is missing.

    Raises:
        NotFoundError: the address asks for a workspace that does not exist, or no longer.
        LimitError: the server has no room for another visitor.
    """
    if get_script_run_ctx() is None:
        raise NotAllowedError("A hosted workspace belongs to a visitor, and nobody is visiting.")
    base, bounds = _base(), limits()
    visitors.sweep_now_and_then(base, bounds.keep_days or 0.0)
    kept = st.session_state.get(WORKSPACE)
    asked = st.query_params.get(WORKSPACE)
    if asked is not None and (asked != kept or visitors.find(base, asked) is None):
        # Edits belong to the models of the workspace that was left.
        st.session_state.clear()
        if visitors.find(base, asked) is None:
            del st.query_params[WORKSPACE]
            raise visitors.gone(bounds.keep_days)
        st.session_state[WORKSPACE] = kept = asked
    # A workspace in which nothing was kept is swept away soon; its name is not used again, for caches know it.
    if kept is None or visitors.find(base, kept) is None:
        if bounds.max_visitors is not None and visitors.count(base) >= bounds.max_visitors:
            raise LimitError("As many people as this server can take are here now. Come back in an hour, or install CBM Studio yourself.")
        st.session_state[WORKSPACE] = kept = visitors.new_token()
    return visitors.enter(base, str(kept))
