"""The visitors of a hosted app: their workspaces, and which of them a visit is in.

Each has a folder below the curated workspace, under a name that nobody can guess, which the session and the URL know. A visitor's folder
begins with the curated artefacts as hard links. Artefacts are written once and replaced by renaming, so a link costs no room and no visitor
can change what another sees; what does change in place (the embedding store, the jobs, the uploads) is never shared.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

from cbm.core.errors import NotFoundError
from cbm.core.files import remove_folder
from cbm.jobs import Jobs
from cbm.ui.access.limits import LimitError, Limits, NotAllowedError
from cbm.workspace.workspace import Workspace

WORKSPACE = "workspace"
"""The query parameter that leads a visitor back to their workspace, and the session's name for it: whoever has it, has the workspace."""
FOLDER = "visitors"
DEMO_RECORD = "demo.json"
"""Left in the workspace by the demo: which artefacts belong to its two tasks, and its figures."""
IDLE_SECONDS = 2 * 3600.0
"""How long the workspace of somebody is kept who only looked; a tab that comes back later gets it again."""
SWEEP_SECONDS = 600.0
SEEN_SECONDS = 60.0
"""How exactly the last visit is known."""
STOP_SECONDS = 5.0
"""How long deleting waits for jobs to hear that they are cancelled; they promise two."""
_TOKEN = re.compile(r"[0-9a-f]{32}")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SEEN, _OWNED = ".seen", ".owned"


class _Sweeper:
    """Remembers when the workspaces were last looked through, for the whole server."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._swept: dict[Path, float] = {}

    def due(self, base: Path) -> bool:
        with self._lock:
            last = self._swept.get(base)
            if last is not None and time.monotonic() - last < SWEEP_SECONDS:
                return False
            self._swept[base] = time.monotonic()
            return True


_SWEEPER = _Sweeper()


def new_token() -> str:
    """A name that nobody can guess: 128 random bits."""
    return secrets.token_hex(16)


def find(base: Path, token: str) -> Path | None:
    """The workspace of that name below the curated one at `base`; None where there is none, or the name could be no visitor's."""
    if not _TOKEN.fullmatch(token):
        return None
    root = base / FOLDER / token
    # A late worker may make the folder of a deleted workspace again; it lacks the sign of a visit.
    return root if (root / _SEEN).is_file() and not root.is_symlink() else None


def gone(keep_days: float | None) -> NotFoundError:
    """What to say to somebody who asks for a workspace that does not exist."""
    kept = "" if keep_days is None else f" Workspaces are deleted {keep_days:g} days after the last visit."
    return NotFoundError(f"The URL names a workspace that does not exist here.{kept} Reload to begin with a fresh one.")


def enter(base: Path, token: str) -> Path:
    """The workspace of that name, made where it is missing; notes the visit."""
    root = base / FOLDER / token
    if not root.is_dir():
        _make(base, root)
    seen = root / _SEEN
    with contextlib.suppress(FileNotFoundError):
        if time.time() - seen.stat().st_mtime > SEEN_SECONDS:
            os.utime(seen)
    return root


def own(root: Path) -> None:
    """From now on there is something in the workspace that its visitor would miss."""
    (root / _OWNED).touch()


def is_owned(root: Path) -> bool:
    return (root / _OWNED).exists()


def count(base: Path) -> int:
    """How many workspaces there are."""
    return sum(1 for _ in _all(base))


def kept_bytes(root: Path) -> int:
    """Bytes of the uploads in a workspace."""
    total = 0
    # os.walk passes over folders that vanish: another tab's upload may be given its final name in this moment.
    for folder, _, names in os.walk(root / "uploads"):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def live_jobs(base: Path) -> int:
    """Jobs that run or wait in any visitor's workspace."""
    return sum(len(_live_jobs(root)) for root in _all(base))


def home_of(root: str, identifier: str) -> str:
    """The workspace from which all visitors load one artefact: the curated one for what it holds, so that memory is shared too."""
    path = Path(root)
    if path.parent.name == FOLDER and _TOKEN.fullmatch(path.name):
        base = path.parent.parent
        if Workspace(base).has(identifier) and (path / "artifacts" / identifier).is_dir():
            return str(base)
    return root


def is_path(text: str) -> bool:
    """Whether a parameter could be read as a file or folder of the machine, rather than as an id or a name."""
    parts = text.replace("\\", "/").split("/")
    # Not Path.exists, which fails for a text that is too long to be a name.
    return text.startswith(("/", "\\", "~")) or ".." in parts or bool(_DRIVE.match(text)) or os.path.exists(text)


def is_below(path: Path, root: Path) -> bool:
    """Whether a path, followed through all links, ends in the workspace."""
    return path.is_absolute() and path.resolve().is_relative_to(root.resolve())


def delete(root: Path) -> None:
    """Delete a workspace with all that is in it; jobs that run are cancelled first."""
    for identifier in _live_jobs(root):
        Jobs(Workspace(root)).cancel(identifier)
    deadline = time.monotonic() + STOP_SECONDS
    while _live_jobs(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    remove_folder(root)


def sweep(base: Path, keep_days: float) -> list[str]:
    """Delete the workspaces whose visitors have been away for long; returns their names."""
    deleted = []
    for root in list(_all(base)):
        with contextlib.suppress(FileNotFoundError):
            sign = root / _SEEN
            away = time.time() - (sign if sign.exists() else root).stat().st_mtime
            allowed = keep_days * 24 * 3600 if is_owned(root) else IDLE_SECONDS
            if away > allowed and not _live_jobs(root):
                remove_folder(root)
                deleted.append(root.name)
    for left in (base / FOLDER).glob(".*"):
        # Half made or half deleted, by a server that was killed.
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > IDLE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    return deleted


def sweep_now_and_then(base: Path, keep_days: float) -> None:
    """`sweep`, unless it was done lately."""
    if _SWEEPER.due(base):
        sweep(base, keep_days)


def _live_jobs(root: Path) -> list[str]:
    # Looking must not make a table of jobs where there is none.
    return [job.id for job in Jobs(Workspace(root)).live()] if (root / "jobs" / "jobs.db").is_file() else []


def _all(base: Path) -> Iterator[Path]:
    folder = base / FOLDER
    if folder.is_dir():
        yield from (root for root in folder.iterdir() if _TOKEN.fullmatch(root.name))


def _make(base: Path, root: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".new-", dir=root.parent))
    try:
        (draft / "artifacts").mkdir()
        for folder in sorted((base / "artifacts").glob("[!.]*")):
            _link(folder, draft / "artifacts" / folder.name)
        if (base / DEMO_RECORD).is_file():
            shutil.copyfile(base / DEMO_RECORD, draft / DEMO_RECORD)
        (draft / _SEEN).touch()
        draft.rename(root)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        # A second tab of the same visitor may have been quicker.
        if not root.is_dir():
            raise


def _link(source: Path, target: Path) -> None:
    """A folder with the files of another, as hard links, or as copies where the disk has none; nothing where it vanishes meanwhile."""
    try:
        shutil.copytree(source, target, copy_function=_link_file)
    except (shutil.Error, FileNotFoundError):
        shutil.rmtree(target, ignore_errors=True)


def _link_file(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


# One visit: only `cbm.ui.access.modes` asks this, and only where the app is hosted


def workspace_of_visit(base: Path, bounds: Limits) -> Path:
    """The visitor's workspace below the curated one at `base`, made where it is missing.

    Raises:
        NotFoundError: the URL asks for a workspace that does not exist, or no longer.
        LimitError: the server has no room for another visitor.
    """
    if get_script_run_ctx() is None:
        raise NotAllowedError("A hosted workspace belongs to a visitor, but there is no visitor in this session.")
    sweep_now_and_then(base, bounds.keep_days or 0.0)
    kept = st.session_state.get(WORKSPACE)
    asked = st.query_params.get(WORKSPACE)
    if asked is not None and (asked != kept or find(base, asked) is None):
        # Edits belong to the models of the workspace that was left.
        st.session_state.clear()
        if find(base, asked) is None:
            del st.query_params[WORKSPACE]
            raise gone(bounds.keep_days)
        st.session_state[WORKSPACE] = kept = asked
    # A workspace in which nothing was kept is swept away soon; its name is not used again, for caches know it.
    if kept is None or find(base, kept) is None:
        if bounds.max_visitors is not None and count(base) >= bounds.max_visitors:
            raise LimitError("This server is full. Come back in an hour, or install CBM Studio yourself.")
        st.session_state[WORKSPACE] = kept = new_token()
    return enter(base, str(kept))


def token_of_visit() -> str:
    """The name of the visitor's workspace."""
    return str(st.session_state[WORKSPACE])


def session_id() -> str:
    """What tells this visit from others; empty outside a visit."""
    context = get_script_run_ctx()
    return "" if context is None else context.session_id


def put_in_url(parameters: dict[str, str]) -> None:
    """Write query parameters, unless they are there already."""
    for name, value in parameters.items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def clear_url() -> None:
    """Empty the URL, but for what widgets are bound to: Streamlit refuses to touch that, and it is about the page alone."""
    for name in list(st.query_params):
        with contextlib.suppress(StreamlitAPIException):
            del st.query_params[name]


def end_visit() -> None:
    """Forget everything about the visitor."""
    st.session_state.clear()
    clear_url()
