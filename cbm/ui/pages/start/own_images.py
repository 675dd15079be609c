"""A visitor's own images in one step: bring them, choose what sees them, and one job makes the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cbm.backbones.architectures import DEMO
from cbm.core.errors import CbmError, NotFoundError
from cbm.ui.access import modes, uploads
from cbm.ui.access.limits import MEGABYTE
from cbm.ui.frame import messages
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.state import JOB, MODEL, StartPage, short
from cbm.ui.widgets import job_panel

PICTURE_TYPES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "zip", "tar", "gz", "csv", "tsv")
UPLOAD, FOLDER = "Upload", "Folder on this machine"
PHOTOGRAPHS, SCENES, CHECKPOINT = "Photographs", "Drawn scenes", "A checkpoint of mine"


class Backbone(NamedTuple):
    """What the verb `build` encodes with."""

    architecture: str
    weights: str | None
    """A tag of open_clip or a checkpoint file; None for the backbone that ships."""


BACKBONES = {
    "ViT-B/32 of LAION-2B: quick": Backbone("ViT-B-32", "laion2b_s34b_b79k"),
    "ViT-B/16 of DataComp: better, 3 times slower": Backbone("ViT-B-16", "datacomp_xl_s13b_b90k"),
    "ViT-L/14 of DataComp: best, 15 times slower": Backbone("ViT-L-14", "datacomp_xl_s13b_b90k"),
}
"""What to offer to somebody who knows none: architecture and tag of open_clip. The data page has the whole list."""


def form(root: str) -> None:
    """What a visitor fills in; on its button, uploads are kept and the work begins."""
    with st.container(border=True, key="own_images"):
        left, right = st.columns(2, gap="medium")
        with left:
            source = _source()
        with right:
            backbone = _backbone()
        ready = bool(source) and backbone is not None
        if st.button("Build a model", key="own_build", type="primary", icon=":material/play_arrow:", disabled=not ready):
            try:
                if source and backbone is not None:
                    _begin(root, source, backbone)
            except CbmError as error:
                messages.error(str(error))
            else:
                st.rerun()
        st.caption(
            "Encodes the images, finds concepts, names them and trains a classifier, one after the other. "
            "You can leave the page meanwhile. Every step has its own page if you want to choose more yourself."
        )


def _source() -> str | list[UploadedFile]:
    """What is to be read: uploaded files, or a path as text."""
    kind = UPLOAD
    if modes.may_use_paths():
        kind = st.segmented_control("Where your images are", [UPLOAD, FOLDER], default=UPLOAD, required=True, key="own_source")
    if kind == FOLDER:
        return st.text_input(
            "Folder, zip or table",
            key="own_folder",
            placeholder="/home/me/birds",
            help="A folder with one subfolder per class, a zip of one, or a table that lists the files.",
        ).strip()
    bounds = modes.limits()
    files = st.file_uploader(
        "A zip with one folder per class, or single images",
        type=list(PICTURE_TYPES),
        accept_multiple_files=True,
        key="own_files",
        max_upload_size=bounds.max_upload_bytes // MEGABYTE,
    )
    if bounds.max_images is not None:
        st.caption(f"Up to {bounds.max_images:,} images. They are kept in your own workspace, and deleted with it.")
    return files


def _backbone() -> Backbone | None:
    """What is to see the images; None while it is not chosen."""
    kinds = [PHOTOGRAPHS, SCENES, *([CHECKPOINT] if modes.may_use_paths() else [])]
    kind = st.segmented_control("What they show", kinds, default=PHOTOGRAPHS, required=True, key="own_kind")
    if kind == SCENES:
        st.caption(
            "The small CLIP that ships with this project has only seen drawn scenes like the demo's. "
            "It is quick and needs no download, but knows nothing about photographs."
        )
        return Backbone(DEMO, None)
    if kind == CHECKPOINT:
        architecture = st.text_input("Architecture", key="own_architecture", placeholder="ViT-B-32").strip()
        weights = st.text_input("Weights file", key="own_weights", placeholder="/home/me/weights.safetensors").strip()
        return Backbone(architecture, weights) if architecture and weights else None
    chosen = st.selectbox("CLIP model", list(BACKBONES), key="own_backbone")
    # Whether they are here, the data page says: to look would load torch, and this page is the first that anybody waits for.
    st.caption("Its weights are taken from this machine, or downloaded once from where open_clip publishes them.")
    return BACKBONES[chosen]


def _begin(root: str, source: str | list[UploadedFile], backbone: Backbone) -> None:
    if isinstance(source, str):
        modes.require_paths()
        path = Path(source).expanduser()
        if not path.exists():
            raise NotFoundError(f"{path} does not exist on this machine. Give a folder of images, a zip or a table.")
        path, title = path.absolute(), path.name
    else:
        path = uploads.keep(root, source)
        title = source[0].name if len(source) == 1 else counted(len(source), "image")
    architecture, weights = backbone
    if weights is not None and Path(weights).expanduser().is_file():
        modes.require_paths()
        weights = str(Path(weights).expanduser().absolute())
    request = {"source": str(path), "backbone": architecture, "pretrained": weights}
    job_panel.submit("build", request, title=f"Build a model from {title}")


def watch(root: str, has_models: bool) -> None:
    """The latest such work while it lives, when the link asks for it, and how it ended where there is nothing else to see."""
    job = job_panel.latest(root, ("build", "demo"))
    if job is None or not (job.live or job.resuming or StartPage.read().job == job.id or not has_models):
        return
    with st.container(border=True, key="build_watch"):
        if job.live or job.resuming:
            st.markdown(f"**{plain(job.title)}**")
        job = job_panel.watch(job.id, key="build")
        if job.state == "done" and job.result is not None:
            _result(job.result)


def _result(result: Mapping[str, Any]) -> None:
    model = result.get("model")
    if model is None:
        notes = result.get("notes") or ["The images do not have labels of at least two classes, so there is nothing to classify."]
        st.info("Concepts were found and named, but no classifier was trained. " + " ".join(str(note) for note in notes))
        return
    for note in result.get("notes") or []:
        st.caption(str(note))
    st.button("Open the new model", key="open_built", type="primary", icon=":material/arrow_forward:", on_click=_open, args=(str(model),))


def _open(model: str) -> None:
    JOB.put(None)
    MODEL.put(short(model))
