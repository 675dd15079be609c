"""Verbs that run until they are stopped: app, worker, serve."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from cbm.cli.options import (
    BackboneOption,
    DeviceOption,
    PretrainedOption,
    WorkspaceOption,
    open_workspace,
)

cli = typer.Typer()


@cli.command()
def app(
    workspace: WorkspaceOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8501,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser window.")] = True,
) -> None:
    """Open the web app; the worker that runs its jobs starts and ends with it."""
    from cbm.core.paths import APP, APP_FOR_STRANGERS
    from cbm.ui.access.modes import Mode, mode, server_options

    if workspace is not None:
        os.environ["CBM_WORKSPACE"] = str(workspace.expanduser().absolute())
    # Streamlit reads .streamlit/config.toml, where the theme lives, from the folder it is started in.
    os.chdir(APP.parent)
    headless = "false" if open_browser and host == "localhost" and _has_display() else "true"
    options = ["--server.address", host, "--server.port", str(port), "--server.headless", headless, *server_options()]
    _start_worker()
    from streamlit.web.cli import main as streamlit

    # In this process, so that the worker belongs to the server and to nobody who could be killed without it.
    script = APP if mode() is Mode.LOCAL else APP_FOR_STRANGERS
    streamlit(["run", str(script), *options], prog_name="streamlit")


@cli.command()
def worker(
    workspace: WorkspaceOption = None,
    idle: Annotated[float | None, typer.Option(help="End after so many seconds without a job.")] = None,
    attached: Annotated[bool, typer.Option("--attached", help="End when standard input does; for programs that start a worker.")] = False,
) -> None:
    """Run the jobs that scripts or the web app submit, one after another, until stopped. The web app starts a worker of its own."""
    from cbm.jobs.worker import run_worker

    run_worker(open_workspace(workspace), attached=attached, idle_seconds=idle)


@cli.command()
def serve(
    backbone: BackboneOption = "demo",
    pretrained: PretrainedOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = 8700,
    device: DeviceOption = "auto",
) -> None:
    """Offer a backbone to other programs over HTTP; see docs/service.md."""
    from cbm.backbones.backbone import Backbone
    from cbm.service import server

    listening = server.listen(host, port)
    encoder = Backbone(backbone, pretrained, device=device)
    shown = f"[{host}]" if ":" in host else host
    print(f"Serving {encoder.reference} on http://{shown}:{listening.getsockname()[1]}. Stop with Ctrl-C.", flush=True)
    server.serve(encoder, listening)


def _start_worker() -> None:
    """On one's own machine the worker is there from the start; visitors of a hosted app get theirs when they have work."""
    from cbm.jobs.attached import crew
    from cbm.ui.access.modes import Mode, mode

    if mode() is Mode.LOCAL:
        crew().ensure(open_workspace(None).root, stay=True)


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
