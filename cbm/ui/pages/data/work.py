"""The frame of the data page: what it can do, the job that it shows, and what stands where there are no images yet."""

from __future__ import annotations

import streamlit as st

from cbm.jobs import Job
from cbm.ui.frame import navigation, session
from cbm.ui.frame.text import counted
from cbm.ui.pages.data.adding import VIEW
from cbm.ui.pages.data.library import SET
from cbm.ui.widgets import job_panel

KINDS = ("embed", "import_vectors")
_CHOICE = "data_view_choice"
SETS, IMAGES, VECTORS = "Image sets", "Add images", "Import vectors"


def view_choice() -> str:
    """Which of the page's three views is shown; part of the address."""
    asked = session.asked(VIEW)
    shown = asked if asked in (SETS, IMAGES, VECTORS) else SETS
    st.session_state[_CHOICE] = shown
    st.segmented_control(
        "View", [SETS, IMAGES, VECTORS], required=True, key=_CHOICE, on_change=_choose, format_func=_named, label_visibility="collapsed"
    )
    return shown


def _named(view: str) -> str:
    icons = {SETS: ":material/photo_library:", IMAGES: ":material/add_photo_alternate:", VECTORS: ":material/upload_file:"}
    return f"{icons[view]} {view}"


def _choose() -> None:
    go(str(st.session_state[_CHOICE] or SETS))


def go(view: str) -> None:
    """Callback: show a view."""
    session.put(VIEW, None if view == SETS else view)


def panel(root: str) -> None:
    """The job that the page is about: one that lives, or the one that the address names."""
    job = job_panel.latest(root, KINDS)
    if job is None or not (job.live or job.resuming or job.id == session.asked(job_panel.PARAMETER)):
        return
    with st.container(border=True, key="data_work"):
        seen = job_panel.watch(job.id, key="data_job", curves=("images_per_second",), on_done=_open_result)
        if seen.state == "done":
            _summary(seen)


def _open_result(job: Job) -> None:
    """Show what was made; runs before the view is drawn."""
    if job.result is not None:
        session.put(SET, str(job.result["embeddings"]).partition("-")[2][:8])
    go(SETS)


def _summary(job: Job) -> None:
    result = job.result or {}
    if job.kind == "import_vectors":
        st.markdown(f"**{counted(int(result.get('count', 0)), 'vector')}** of {int(result.get('dim', 0))} numbers are in the workspace.")
        return
    rejected, reused, rate = (result.get(name) or 0 for name in ("rejected", "reused", "images_per_second"))
    parts = [f"**{counted(int(result.get('count', 0)), 'image')}** in the set"]
    if reused:
        parts.append(f"{int(reused):,} of them encoded before")
    if rate:
        parts.append(f"{rate:,.0f} images a second")
    parts.append(f"{counted(int(rejected), 'file')} rejected, listed below with the reasons" if rejected else "no file rejected")
    st.markdown(" · ".join(parts))


def no_sets(root: str) -> None:
    """An empty workspace: what would stand here, and the three ways to fill it."""
    job = job_panel.latest(root, KINDS)
    if job is not None and job.live:
        st.caption("The first image set is being made; it opens here when it is done.")
        return
    with st.container(border=True, horizontal_alignment="center", key="data_empty"):
        st.markdown("## :material/photo_library:", text_alignment="center", anchors=False)
        st.subheader("No images yet", anchor=False, text_alignment="center", width="stretch")
        st.markdown(
            "Every image set of this workspace will stand here with its pictures, its classes and a search by words or by picture. "
            "Add images and a CLIP backbone turns each of them into an embedding, in which concepts can then be discovered.",
            text_alignment="center",
        )
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.button(
                "Add images", key="data_go_images", type="primary", icon=":material/add_photo_alternate:", on_click=go, args=(IMAGES,)
            )
            st.button("Import vectors", key="data_go_vectors", icon=":material/upload_file:", on_click=go, args=(VECTORS,))
        st.page_link(navigation.START, label="Or build the demo on the start page", icon=":material/flag:")
