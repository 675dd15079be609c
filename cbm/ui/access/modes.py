"""Who may do what: the mode that the app runs in, and the workspace that a visitor sees.

`CBM_MODE` is `local` (one person's own machine, the default), `hosted` (many visitors, each with a workspace of their own) or `demo`
(nothing can be written). Every writer calls `require_write`, or one of the checks of `cbm.ui.access.quotas` that begin with it:
`check_uploads` (kept uploads) and `check_job`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

from cbm.core.errors import InvalidInputError
from cbm.ui.access import visitors
from cbm.ui.access.limits import DEMO, HOSTED, LOCAL, MEGABYTE, Limits, NotAllowedError
from cbm.workspace.workspace import Workspace


class Mode(StrEnum):
    LOCAL = "local"
    HOSTED = "hosted"
    DEMO = "demo"


def mode() -> Mode:
    """What `CBM_MODE` says.

    Raises:
        InvalidInputError: it says something else than local, hosted or demo.
    """
    asked = os.environ.get("CBM_MODE") or Mode.LOCAL
    if asked not in list(Mode):
        raise InvalidInputError(f"CBM_MODE is {asked!r}; it must be local, hosted or demo. Correct it and restart the app.")
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
        raise NotAllowedError("This is a read-only demo. Install CBM Studio to work with your own images.")


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


# Workspaces


def workspace_root() -> str:
    """The folder that this visitor sees: `CBM_WORKSPACE`, or the checkout's own; where the app is hosted, the visitor's below it."""
    return str(_visitor_root() if mode() is Mode.HOSTED else base())


def owns_workspace() -> bool:
    """Whether a hosted visitor has uploaded or made anything, so that the URL should lead back to it."""
    return mode() is Mode.HOSTED and visitors.is_owned(_visitor_root())


def address() -> dict[str, str]:
    """Query parameters that a link needs to lead to the same workspace; part of every `PageState.link`."""
    return {visitors.WORKSPACE: visitors.token_of_visit()} if owns_workspace() else {}


def put_address() -> None:
    """Keep the way back to the workspace in the URL, which every change of page empties."""
    visitors.put_in_url(address())


def delete_my_data() -> None:
    """Delete the visitor's workspace at once, with all uploads and jobs, and forget what the session knows about it."""
    if mode() is not Mode.HOSTED:
        raise NotAllowedError("Only a hosted app keeps data for its visitors; here the workspace is your own folder.")
    visitors.delete(_visitor_root())
    visitors.end_visit()


def base() -> Path:
    """The curated workspace, which the server's owner filled; the only one unless the app is hosted."""
    return Workspace().root


def visitor() -> str:
    """What tells one visitor from another."""
    return _visitor_root().name if mode() is Mode.HOSTED else visitors.session_id()


def _visitor_root() -> Path:
    return visitors.workspace_of_visit(base(), limits())
