"""The picture of the image page: where a concept is in it, and which concepts are at a patch of it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from PIL import Image

from cbm.core.errors import CbmError
from cbm.model.explanations import Contribution
from cbm.study.subject import PatchConcept, concepts_at
from cbm.ui.frame import cache, resources
from cbm.ui.frame.formats import plain
from cbm.ui.frame.slots import widget_value
from cbm.ui.frame.state import ConceptPage, ImagePage
from cbm.ui.pages.image.prediction import Scene
from cbm.ui.widgets import figures, heatmaps
from cbm.ui.widgets.components.patch_picker import PickerView, patch_picker
from cbm.ui.widgets.thumbnails import encoded, thumbnail

_LISTED = 6
_SIDE = 480
"""Longest side of the large picture in pixels."""


@st.fragment
def picture(scene: Scene) -> None:
    """The picture with the chosen concept's heat-map, and the concepts of a patch that is clicked."""
    subject = scene.subject
    problem = heatmaps.why_not(scene.study)
    patches = None
    if problem is None:
        try:
            patches = subject.patches if subject.uri is None else heatmaps.patches_of(scene.study, [subject.uri])[0]
        except CbmError as error:
            problem = str(error)
    part = _concept_choice(scene, disabled=patches is None)
    heat = None if patches is None or part is None else heatmaps.heat(scene.study, patches, part.members)
    rows, columns = (0, 0) if patches is None else patches.shape[:2]
    where = f", highlighted where “{part.name}” is" if heat is not None and part is not None else ""
    view = PickerView(
        picture=_large_picture(scene, patches is not None),
        alt=f"{subject.title}, predicted as {scene.judgement.predicted}{where}",
        rows=rows,
        columns=columns,
        heat=None if heat is None else heat.ravel().tolist(),
        opacity=heatmaps.OPACITY,
    )
    patch = patch_picker(
        view,
        key=ImagePage.key("patch", subject.item),
        start=ImagePage.read().patch,
        on_choose=lambda patch: ImagePage.put(patch=patch),
    )
    if patches is None:
        st.caption(f":material/visibility_off: No heat-map, and no patches to click. {plain(problem or 'This backbone has no patches.')}")
    elif patch is None:
        if part is not None:
            label = f"All images of “{plain(figures.shorten(part.name, 22))}”"
            ConceptPage(part.concept).link().draw(label, icon=":material/interests:")
        st.caption("Click a patch, or reach it with Tab and the arrow keys, to see the concepts that fire there.")
    else:
        _patch_lists(scene, concepts_at(scene.study, subject, patches, patch), divmod(patch, columns))


def _concept_choice(scene: Scene, *, disabled: bool) -> Contribution | None:
    parts = {part.concept: part for part in scene.judgement.contributions}
    key = ImagePage.key("concept", scene.subject.item, scene.concept)
    st.selectbox(
        "Show where",
        [None, *parts],
        index=0 if scene.concept not in parts else 1 + list(parts).index(scene.concept),
        key=key,
        format_func=lambda concept: "– the plain picture –" if concept is None else f"{parts[concept].name}",
        on_change=lambda: ImagePage.put(concept="none" if widget_value(key) is None else widget_value(key)),
        disabled=disabled,
        help="The picture is darkened where this concept does not respond.",
    )
    if scene.concept is not None and scene.concept not in parts:
        st.caption(f"“{plain(scene.study.name(scene.concept, scene.recipe))}” is silent in this image.")
    return parts.get(widget_value(key)) if not disabled else None


def _large_picture(scene: Scene, patched: bool) -> str:
    """The part of the picture that the backbone sees, or, without patches, all of it."""
    subject = scene.subject
    mode = resources.encoder(scene.study).backbone.resize_mode if patched else "squash"
    if subject.uri is not None:
        return large_picture(subject.uri, mode)
    if subject.picture is None:
        return thumbnail("")
    shown = heatmaps.as_seen(subject.picture, mode).copy()
    shown.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return encoded(shown)


@cache.remember()
def large_picture(uri: str, resize_mode: str) -> str:
    """A held-out picture at the size of a panel."""
    from cbm.images.pictures import read_picture

    try:
        shown = heatmaps.as_seen(read_picture(uri, size=_SIDE), resize_mode)
    except (CbmError, OSError):
        return thumbnail(uri)
    return encoded(shown)


def _patch_lists(scene: Scene, found: Sequence[PatchConcept], place: tuple[int, int]) -> None:
    hidden = scene.recipe.decisions().hidden
    found = [entry for entry in found if entry.concept not in hidden]
    st.markdown(f"**Patch in row {place[0] + 1}, column {place[1] + 1}**")
    if not found:
        st.caption("No concept fires on this patch alone.")
    both = [entry for entry in found if entry.elsewhere]
    only = [entry for entry in found if not entry.elsewhere]
    for column, title, entries in zip(st.columns(2, gap="small"), ("Whole image too", "Only here"), (both, only), strict=True):
        with column:
            st.caption(f"{title} ({len(entries)})")
            for entry in entries[:_LISTED]:
                name = scene.study.name(entry.concept, scene.recipe)
                ConceptPage(entry.concept).link().draw(
                    f"{plain(figures.shorten(name, 16))} :gray[{entry.activation:.1f}]",
                    help=f"{name}, concept {entry.concept}: activation {entry.activation:.2f} at this patch",
                )
            if len(entries) > _LISTED:
                st.caption(f"and {len(entries) - _LISTED} weaker ones")
