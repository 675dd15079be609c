"""Bring images or vectors and search them. `library` shows the sets; `new_images` and `vectors` are the forms for more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.jobs import Job
from cbm.study.image_sets import ImageSetCard, find_image_set, image_set_card
from cbm.ui.access import modes
from cbm.ui.frame import cache, messages, resources
from cbm.ui.frame.formats import counted
from cbm.ui.frame.layout import empty_card, page_title
from cbm.ui.frame.slots import set_widget, widget_value
from cbm.ui.frame.state import DataPage, StartPage, short
from cbm.ui.pages.data import library, new_images, vectors
from cbm.ui.widgets import job_panel
from cbm.workspace import EmbeddingsArtifact

KINDS = ("embed", "import_vectors")
_ICONS = {
    DataPage.SETS: ":material/photo_library:",
    DataPage.IMAGES: ":material/add_photo_alternate:",
    DataPage.VECTORS: ":material/upload_file:",
}


def show() -> None:
    page_title("Data", "Bring images or vectors, choose a CLIP backbone, encode them, and search them by text or by picture.")
    root = modes.workspace_root()
    _job(root)
    # Read after the job: one that has just ended opens what it made.
    state = DataPage.read()
    cards = _cards(root)
    _view_choice(state.view)
    if state.view == DataPage.IMAGES:
        new_images.form(root)
    elif state.view == DataPage.VECTORS:
        vectors.form(root)
    elif not cards:
        _no_sets(root)
    else:
        _sets(root, cards, state)


def _cards(root: str) -> list[ImageSetCard]:
    """The image sets of the workspace, newest first; a damaged one is reported and does not hide the others."""
    return messages.readable(resources.artifacts(root, EmbeddingsArtifact), lambda artifact: _card(root, artifact.id))


@cache.remember()
def _card(root: str, identifier: str) -> ImageSetCard:
    artifact = next(artifact for artifact in resources.artifacts(root, EmbeddingsArtifact) if artifact.id == identifier)
    return image_set_card(artifact, resources.embedding_set(root, identifier))


def _sets(root: str, cards: list[ImageSetCard], state: DataPage) -> None:
    try:
        card = find_image_set(cards, state.embeddings)
    except NotFoundError as error:
        messages.error(str(error))
        card = cards[0]
    library.gallery(cards, card.id)
    library.opened(root, card)


def _view_choice(shown: str) -> None:
    """Which of the page's three views is shown; part of the URL."""
    key = DataPage.key("view_choice")
    set_widget(key, shown)
    st.segmented_control(
        "View",
        list(_ICONS),
        required=True,
        key=key,
        on_change=lambda: _go(str(widget_value(key) or DataPage.SETS)),
        format_func=lambda view: f"{_ICONS[view]} {view}",
        label_visibility="collapsed",
    )


def _go(view: str) -> None:
    """Callback: show a view."""
    DataPage.put(view=view)


def _job(root: str) -> None:
    """The job that the page is about: one that lives, or the one that the link names."""
    job = job_panel.latest(root, KINDS)
    if job is None or not (job.live or job.resuming or job.id == DataPage.read().job):
        return
    with st.container(border=True, key=DataPage.key("work")):
        seen = job_panel.watch(job.id, key=DataPage.key("job"), curves=("images_per_second",), on_done=_open_result)
        if seen.state == "done":
            st.markdown(_summary(seen.kind, seen.result or {}))


def _open_result(job: Job) -> None:
    """Show what was made; runs before the view is drawn."""
    if job.result is not None:
        DataPage.put(embeddings=short(str(job.result["embeddings"])))
    _go(DataPage.SETS)


def _summary(kind: str, result: Mapping[str, Any]) -> str:
    if kind == "import_vectors":
        return f"**{counted(int(result.get('count', 0)), 'vector')}** of {int(result.get('dim', 0))} numbers are in the workspace."
    rejected, reused, rate = (result.get(name) or 0 for name in ("rejected", "reused", "images_per_second"))
    parts = [f"**{counted(int(result.get('count', 0)), 'image')}** in the set"]
    if reused:
        parts.append(f"{int(reused):,} of them encoded before")
    if rate:
        parts.append(f"{rate:,.0f} images per second")
    parts.append(f"{counted(int(rejected), 'file')} rejected, listed below with the reasons" if rejected else "no file rejected")
    return " · ".join(parts)


def _no_sets(root: str) -> None:
    """An empty workspace: what would be here, and the three ways to fill it."""
    job = job_panel.latest(root, KINDS)
    if job is not None and job.live:
        st.caption("The first image set is being created; it opens here when it is ready.")
        return
    why = (
        "Every image set of this workspace will appear here with its pictures, its classes and a search by words or by picture. "
        "Add images and a CLIP backbone turns each of them into an embedding, in which concepts can then be discovered."
    )
    with empty_card("No images yet", why, icon=":material/photo_library:", key=DataPage.key("empty")):
        for name, view in (("go_images", DataPage.IMAGES), ("go_vectors", DataPage.VECTORS)):
            kind: Literal["primary", "secondary"] = "primary" if view == DataPage.IMAGES else "secondary"
            st.button(view, key=DataPage.key(name), type=kind, icon=_ICONS[view], on_click=_go, args=(view,))
        StartPage().link().draw("Or build the demo on the start page", icon=":material/flag:")
