"""Who may do what: the mode that the app runs in, its limits, and the workspace that a visitor sees.

`CBM_MODE` is `local` (one person's own machine, the default), `hosted` (many visitors, each with a workspace of their own) or `demo`
(nothing can be written). Limits hold here, in Python; widgets only repeat them.
"""

from __future__ import annotations

import os
from enum import StrEnum

from cbm.errors import CbmError, InvalidInputError
from cbm.workspace import Workspace


class Mode(StrEnum):
    LOCAL = "local"
    HOSTED = "hosted"
    DEMO = "demo"


class NotAllowedError(CbmError):
    """The mode that the app runs in does not allow this."""


def mode() -> Mode:
    """What `CBM_MODE` says.

    Raises:
        InvalidInputError: it says something else than local, hosted or demo.
    """
    asked = os.environ.get("CBM_MODE") or Mode.LOCAL
    if asked not in list(Mode):
        raise InvalidInputError(f"CBM_MODE is {asked!r}; it must be local, hosted or demo.")
    return Mode(asked)


def may_write() -> bool:
    return mode() is not Mode.DEMO


def require_write() -> None:
    """First thing in whatever writes to the workspace or submits a job.

    Raises:
        NotAllowedError: in demo mode.
    """
    if not may_write():
        raise NotAllowedError("This is a read-only demo. Install CBM Studio to work with images of your own.")


def require_paths() -> None:
    """First thing in whatever reads a path on the server.

    Raises:
        NotAllowedError: unless the app runs on the visitor's own machine.
    """
    if mode() is not Mode.LOCAL:
        raise NotAllowedError("Folders of the server cannot be read here. Upload the images instead.")


def workspace_root() -> str:
    """The folder that this visitor sees: `CBM_WORKSPACE`, or the checkout's own."""
    return str(Workspace().root)
