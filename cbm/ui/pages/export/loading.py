"""Take an exported bundle into this workspace."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cbm.core.files import write_bytes
from cbm.jobs import Job
from cbm.study.image_sets import ImageSet, read_image_set
from cbm.ui.access import modes, quotas, uploads
from cbm.ui.frame import chosen, messages, resources
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import DataPage, ExportPage
from cbm.ui.widgets import job_panel
from cbm.workspace import EmbeddingsArtifact

KIND = "import_bundle"
_HERE = "load"
_FILE, _FOLDER, _SET = "load_file", "load_folder", "load_set"


def panel(*, first: bool = False) -> None:
    """Choose a bundle and the images to look at it with; the rest is a job.

    Args:
        first: whether the workspace has no model yet.
    """
    if not modes.may_write():
        return
    root = modes.workspace_root()
    st.subheader("Load an exported model", anchor=False)
    messages.show_refusal(at=_HERE)
    job = job_panel.latest(root, (KIND,))
    if job is not None and (job.live or job.id == ExportPage.read().job):
        job_panel.watch(job.id, key="load_job", on_done=_show_loaded)
    sets = _sets(root)
    if not sets:
        st.caption("The bundle holds no images, so the app needs some of yours: encode a few with the model's backbone first.")
        DataPage().link().draw("Bring images", icon=":material/photo_library:")
        return
    with st.container(border=True, key="load_form"):
        file = st.file_uploader(
            "Bundle, as the .zip of an export", type="zip", key=_FILE, max_upload_size=modes.limits().max_upload_megabytes
        )
        folder = ""
        if modes.may_use_paths():
            folder = st.text_input("Or its folder on this machine", key=_FOLDER, placeholder="/home/me/concept-model")
        titles = {option.id: option for option in sets}
        st.selectbox(
            "Images to show it with",
            list(titles),
            key=_SET,
            format_func=lambda key: titles[key].menu_title,
            help="They must come from the model's backbone. Where they have labels that the model knows, its accuracy is measured.",
        )
        st.button(
            "Load",
            key="load_go",
            type="primary" if first else "secondary",
            icon=":material/upload:",
            disabled=not (file or folder),
            on_click=_load,
        )


def _sets(root: str) -> list[ImageSet]:
    found = messages.readable(resources.artifacts(root, EmbeddingsArtifact), read_image_set)
    # Sets for testing first, then the newest.
    return sorted(found, key=lambda option: "test" not in option.source.casefold())


def _load() -> None:
    """Callback: ask for the work."""
    with messages.refusals(at=_HERE):
        modes.require_write()
        file, folder = widget_value(_FILE), str(widget_value(_FOLDER) or "").strip()
        if file is not None:
            source = keep_bundle(modes.workspace_root(), file)
            title = file.name
        else:
            modes.require_paths()
            source = Path(folder).expanduser().absolute()
            title = source.name
        job_panel.submit(KIND, {"source": str(source), "on": widget_value(_SET)}, title=f"Load {title}")


def keep_bundle(root: str, file: UploadedFile) -> Path:
    """The uploaded .zip in the workspace, named by its content; whoever loads it looks into it.

    Raises:
        NotAllowedError, LimitError: as `quotas.check_uploads`, for what it unpacks to as well.
        InvalidInputError: it is no .zip.
    """
    data = file.getvalue()
    quotas.check_uploads({file.name: len(data)})
    # A few megabytes of zeros would become gigabytes of a model.
    quotas.check_kept(uploads.unpacked_bytes(io.BytesIO(data)))
    folder = Path(root) / "uploads" / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{hashlib.sha256(data).hexdigest()[:32]}.zip"
    if not target.exists():
        write_bytes(target, data)
    return target


def _show_loaded(job: Job) -> None:
    chosen.show_made(job, "The model is loaded and selected.")
