"""Start the app's server in this process: `cbm app` runs this module by its name, because nothing below the app imports it."""

from __future__ import annotations

import os
import sys

from cbm.core.paths import APP, APP_FOR_STRANGERS
from cbm.jobs.attached import crew
from cbm.ui.access.modes import Mode, mode, server_options
from cbm.workspace.workspace import Workspace


def launch(host: str, port: int, open_browser: bool) -> None:
    """Serve until stopped. On one's own machine a worker runs from the start; visitors of a hosted app get one when they have work.

    Raises:
        InvalidInputError: `CBM_MODE` is none of the modes.
    """
    options = ["--server.address", host, "--server.port", str(port), *server_options()]
    headless = not (open_browser and host == "localhost" and _has_display())
    # Streamlit reads .streamlit/config.toml, where the theme is, from the folder it is started in.
    os.chdir(APP.parent)
    if mode() is Mode.LOCAL:
        crew().ensure(Workspace().root, stay=True)
    from streamlit.web.cli import main as streamlit

    # In this process, so that the worker belongs to the server and not to a parent that could be killed without it.
    script = APP if mode() is Mode.LOCAL else APP_FOR_STRANGERS
    streamlit(["run", str(script), *options, "--server.headless", str(headless).lower()], prog_name="streamlit")


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
