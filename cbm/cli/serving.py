"""Verbs that run until they are stopped: app, worker, serve."""

from __future__ import annotations

import importlib
import os
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
    if workspace is not None:
        os.environ["CBM_WORKSPACE"] = str(workspace.expanduser().absolute())
    # By its name: the app is the one room that the command line does not import.
    importlib.import_module("cbm.ui.access.asgi").launch(host, port, open_browser)


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
