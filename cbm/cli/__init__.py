"""The command line: a command per verb of the registry, and those that are no verbs."""

from __future__ import annotations

import errno
import sys

import typer

from cbm.cli import artifacts, serving
from cbm.cli.commands import add_verbs
from cbm.core.errors import CbmError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def command_line(called: str | None = None) -> typer.Typer:
    """All commands, those of parts included that were registered since the program began.

    Args:
        called: the one command that is about to run; the others then have no options, which take most of the start. None: all have.
    """
    cli = typer.Typer(
        name="cbm",
        help="Discover, name, train, edit and export concept bottleneck models on frozen CLIP embeddings.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    add_verbs(cli, called)
    cli.add_typer(artifacts.cli)
    cli.add_typer(serving.cli)
    return cli


def main() -> None:
    """Entry of `cbm`: errors that a user can mend are printed without a traceback, with exit status 2."""
    try:
        command_line(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))()
    except CbmError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(EXIT_BAD_INPUT) from error
    except OSError as error:
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        place = f": {error.filename}" if error.filename else ""
        print(
            f"Error: {error.strerror}{place}. Check the name, that you have write permission, and that the disk has space.", file=sys.stderr
        )
        raise SystemExit(EXIT_BAD_INPUT) from error
    except SystemExit as stop:
        # This is what typer makes of Ctrl-C, without a word.
        if stop.code == EXIT_INTERRUPTED:
            print("Stopped. Finished work is kept; the same command resumes from there.", file=sys.stderr)
        raise
