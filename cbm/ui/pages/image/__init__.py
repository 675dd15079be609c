"""One image: what the model says, which concepts it sees, and where. `?image=` says which, `?concept=` what is lit."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from cbm.core.errors import CbmError, NotFoundError
from cbm.editing.recipe import Recipe
from cbm.study.judgement import Judgement, judge
from cbm.study.study import Study
from cbm.study.subject import Subject, from_outside, held_out, rows_to_choose
from cbm.ui.access import modes, uploads
from cbm.ui.access.limits import MEGABYTE
from cbm.ui.frame import empty, encoders, navigation, resources, selections, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.frame.text import counted
from cbm.ui.pages.image import prediction
from cbm.ui.pages.image.picture import picture
from cbm.ui.pages.image.prediction import Scene
from cbm.ui.widgets import heatmaps
from cbm.ui.widgets.galleries import picture_chooser

UPLOAD = "image_upload"
_SOURCE = "image_source"
_HELD_OUT, _OWN = "Held-out images", "A picture of your own"
_WRONG, _ALL = "Wrong", "All"
_ANY_CLASS = "Any class"
_PER_PAGE = 6
_TYPES = ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"]
_LARGEST = 768
"""Longest side in pixels at which an uploaded picture is kept; a backbone sees far less."""


def show() -> None:
    navigation.require_entry()
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    if not catalogue.models:
        empty.no_models("predictions")
        return
    model = session.current_model()
    study = resources.study(root, model)
    recipe = session.recipe(model)
    page_title("Image", "One image: what the model says, which concepts it sees, and where it sees them.")
    subject = _choose_image(study, model, recipe, root, _asked_row(study))
    if subject is None:
        return
    judgement = judge(study, subject, recipe, prediction.chosen_target())
    concept = _lit_concept(study, judgement)
    scene = Scene(root, model, study, recipe, subject, judgement, concept, session.link(model, catalogue.default))
    left, right = st.columns([11, 17], gap="large")
    with right:
        prediction.verdict(scene)
        prediction.concepts(scene)
        prediction.counterfactual(scene)
    prediction.nearest(scene)
    # Last, because it may have to load the backbone: what the model says does not wait for it.
    with left:
        picture(scene)


def _asked_row(study: Study) -> int | None:
    """The held-out image that the link asks for."""
    try:
        asked = session.image_in_link()
        return None if asked is None else study.row_of(asked)
    except NotFoundError as error:
        show_error(str(error))
        return None


def _lit_concept(study: Study, judgement: Judgement) -> int | None:
    """The concept whose heat-map is shown: the one that the link asks for, else the one that counts most."""
    try:
        if session.asked("concept") == "none":
            return None
        concept = session.concept_in_link()
        if concept is not None:
            study.check_concept(concept)
            return concept
    except NotFoundError as error:
        show_error(str(error))
    return judgement.parts[0].concept if judgement.parts else None


def _choose_image(study: Study, model: str, recipe: Recipe, root: str, row: int | None) -> Subject | None:
    """Draw the chooser and return the image in question; None where there is none yet.

    Args:
        row: the held-out image that the link asks for.
    """
    # A link to an image is stronger than what the page was used for before.
    if row is not None or _SOURCE not in st.session_state:
        st.session_state[_SOURCE] = _HELD_OUT
    with st.container(border=True):
        source = st.segmented_control(
            "Image", [_HELD_OUT, _OWN], key=_SOURCE, required=True, label_visibility="collapsed", on_change=_leave_image
        )
        if source == _OWN:
            return _upload(study, model, root)
        return _choose_held_out(study, model, recipe, row)


def _choose(item: str | None) -> None:
    """Put an image into the URL; what was lit or clicked in the last one goes."""
    session.put("image", item)
    session.put("concept", None)
    session.put("patch", None)


def _leave_image() -> None:
    _choose(None)


def _choose_held_out(study: Study, model: str, recipe: Recipe, row: int | None) -> Subject | None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control("Predictions", [_WRONG, _ALL], default=_WRONG, required=True, key="image_show", persist_state="session")
        truth = st.selectbox("True class", [_ANY_CLASS, *study.classes], key="image_truth", width=190, persist_state="session")
        search = st.text_input(
            "Find by name", key="image_search", type="search", live=True, width=190, placeholder="a part of the file's name"
        )
    selections.chip(model, "images", "image_selection")
    found = rows_to_choose(study, wrong_only=kind == _WRONG, truth=None if truth == _ANY_CLASS else truth, search=search or "")
    rows = selections.restrict(model, "images", found)
    if not rows:
        empty.nothing_found("No held-out image fits. Show all predictions, or another class.")
        return held_out(study, row) if row is not None else None
    pages = -(-len(rows) // _PER_PAGE)
    count, pager = st.columns([1, 1], vertical_alignment="center")
    count.caption(
        f"{counted(len(rows), 'image')} of {study.images:,}. The button says what the model sees; the mark, whether that is right."
    )
    with pager.container(horizontal=True, horizontal_alignment="right"):
        page = st.pagination(pages, key=f"image_page-{kind}-{truth}-{search}", max_visible_pages=5) if pages > 1 else 1
    shown = rows[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    row = shown[0] if row is None else row
    picture_chooser(
        study.pictures(shown, recipe),
        chosen=row,
        on_choose=lambda chosen: _choose(study.item(chosen)),
        key="image_choose",
    )
    return held_out(study, row)


def _upload(study: Study, model: str, root: str) -> Subject | None:
    problem = encoders.why_not(study)
    if problem is not None:
        st.info(problem, icon=":material/cloud_off:")
        return None
    limit = modes.limits().max_upload_bytes
    file = st.file_uploader(
        f"JPEG, PNG, WebP and the like, up to {limit / MEGABYTE:,.0f} MB. It is kept in memory for this tab alone, never on disk.",
        type=_TYPES,
        key=UPLOAD,
        max_upload_size=max(1, limit // MEGABYTE),
    )
    if file is None:
        st.caption("Nothing chosen yet: drop a picture here, and its prediction, concepts and nearest images appear below.")
        return None
    try:
        return _encoded_upload(root, model, file.file_id, study, file)
    except CbmError as error:
        show_error(str(error))
        return None


@st.cache_resource(max_entries=4, scope="session", show_spinner="Looking at the picture …")
def _encoded_upload(root: str, model: str, file_id: str, _study: Study, _file: uploads.Upload) -> Subject:
    """Decode and encode once for each upload; forgotten with the session."""
    modes.check_encoding()
    picture = uploads.read_single(_file)
    picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return uploaded(_study, _file.name, picture)


def uploaded(study: Study, name: str, picture: Image.Image) -> Subject:
    """A picture from outside, encoded by the backbone that made the model's embeddings.

    Raises:
        MissingWeightsError: that backbone is not at hand.
    """
    shared = encoders.encoder(study)
    with shared.lock:
        embedding = shared.backbone.encode_images([picture])[0]
    try:
        patches = heatmaps.encode_patches(study, picture)
    except CbmError:
        patches = None  # not every image tower has patches; the prediction needs none
    return from_outside(study, name, picture, embedding, patches)
