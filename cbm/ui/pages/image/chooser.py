"""Which image: a held-out one, or a picture that the visitor uploads."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from cbm.core.errors import CbmError, NotFoundError
from cbm.study.images import Subject
from cbm.study.study import Study
from cbm.study.subject import from_outside
from cbm.ui.access import modes, quotas, uploads
from cbm.ui.frame import layout, messages, resources, selections
from cbm.ui.frame.chosen import Chosen
from cbm.ui.frame.formats import counted
from cbm.ui.frame.layout import pager
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ImagePage
from cbm.ui.widgets import heatmaps
from cbm.ui.widgets.galleries import picture_chooser

_HELD_OUT, _OWN = "Held-out images", "A picture of your own"
_SOURCE = Slot(ImagePage.key("source"), _HELD_OUT)
_WRONG, _ALL = "Wrong", "All"
_ANY_CLASS = "Any class"
_PER_PAGE = 6
_LARGEST = 768
"""Longest side in pixels at which an uploaded picture is kept; a backbone sees far less."""


def choose_image(chosen: Chosen, row: int | None) -> Subject | None:
    """Draw the chooser and return the image in question; None where there is none yet.

    Args:
        row: the held-out image that the link asks for.
    """
    # A link to an image is stronger than what the page was used for before.
    if row is not None or not _SOURCE.is_set():
        _SOURCE.put(_HELD_OUT)
    with st.container(border=True):
        source = st.segmented_control(
            "Image", [_HELD_OUT, _OWN], key=_SOURCE.key, required=True, label_visibility="collapsed", on_change=_leave_image
        )
        if source == _OWN:
            return _upload(chosen)
        return _choose_held_out(chosen, row)


def _choose(item: str | None) -> None:
    """Put an image into the URL; what was lit or clicked in the last one goes."""
    ImagePage.put(image=item, concept=None, patch=None)


def _leave_image() -> None:
    _choose(None)


def _choose_held_out(chosen: Chosen, row: int | None) -> Subject | None:
    study, model = chosen.study, chosen.model
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Predictions", [_WRONG, _ALL], default=_WRONG, required=True, key=ImagePage.key("show"), persist_state="session"
        )
        truth = st.selectbox("True class", [_ANY_CLASS, *study.class_names], key=ImagePage.key("truth"), width=190, persist_state="session")
        search = st.text_input(
            "Find by name", key=ImagePage.key("search"), type="search", live=True, width=190, placeholder="a part of the file's name"
        )
    selections.chip(model, "images", ImagePage.key("selection"))
    found = study.rows(wrong_only=kind == _WRONG, truth=None if truth == _ANY_CLASS else truth, search=search or "")
    rows = selections.restrict(model, "images", found)
    if not rows:
        layout.nothing_found("No held-out image fits. Show all predictions, or another class.")
        return study.subject(row) if row is not None else None
    count, numbers = st.columns([1, 1], vertical_alignment="center")
    count.caption(
        f"{counted(len(rows), 'image')} of {study.image_count:,}. The button shows the prediction; the mark shows whether it is right."
    )
    with numbers.container(horizontal=True, horizontal_alignment="right"):
        shown = rows[pager(len(rows), _PER_PAGE, key=ImagePage.key("page", kind, truth, search))]
    row = shown[0] if row is None else row
    picture_chooser(
        study.pictures(shown, chosen.recipe),
        chosen=row,
        on_choose=lambda taken: _choose(study.item(taken)),
        key=ImagePage.key("choose"),
    )
    return study.subject(row)


def _upload(chosen: Chosen) -> Subject | None:
    problem = resources.why_no_encoder(chosen.study)
    if problem is not None:
        st.info(problem, icon=":material/cloud_off:")
        return None
    limit = modes.limits().max_upload_megabytes
    file = st.file_uploader(
        f"JPEG, PNG, WebP and the like, up to {limit:,} MB. It is kept in memory for this tab alone, never on disk.",
        type=uploads.PICTURE_TYPES,
        key=ImagePage.key("upload"),
        max_upload_size=limit,
    )
    if file is None:
        st.caption("Drop a picture here. Its prediction, concepts and nearest images appear below.")
        return None
    try:
        return _encoded_upload(chosen.root, chosen.model, file.file_id, chosen.study, file)
    except CbmError as error:
        messages.error(str(error))
        return None


@st.cache_resource(max_entries=4, scope="session", show_spinner="Analysing the picture …")
def _encoded_upload(root: str, model: str, file_id: str, _study: Study, _file: uploads.Upload) -> Subject:
    """Decode and encode once for each upload; forgotten with the session."""
    quotas.check_encoding()
    picture = uploads.read_single(_file)
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return uploaded(_study, _file.name, picture)


def uploaded(study: Study, name: str, picture: Image.Image) -> Subject:
    """A picture from outside, encoded by the backbone that made the model's embeddings.

    Raises:
        MissingWeightsError: that backbone is not available.
    """
    shared = resources.encoder(study)
    with shared.lock:
        embedding = shared.backbone.encode_images([picture])[0]
    try:
        patches = heatmaps.encode_patches(study, picture)
    except CbmError:
        patches = None  # not every image tower has patches; the prediction needs none
    return from_outside(study, name, picture, embedding, patches)


def asked_row(study: Study, item: str | None) -> int | None:
    """The held-out image that the link asks for."""
    try:
        return None if item is None else study.row_of(item)
    except NotFoundError as error:
        messages.error(str(error))
        return None
