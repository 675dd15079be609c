"""The panels of the image page: the picture with its patches, the prediction with its concepts, what would change it, what is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st
from PIL import Image

from cbm.edits import Recipe
from cbm.errors import CbmError
from cbm.ui import encoders, figures, heatmaps, navigation, session
from cbm.ui.components.patch_picker import PickerView, patch_picker
from cbm.ui.figures.image import share_bars
from cbm.ui.galleries import picture_grid
from cbm.ui.image.judgement import Judgement, Part
from cbm.ui.image.subject import Near, Neighbours, PatchConcept, Subject, concepts_at
from cbm.ui.study import Study
from cbm.ui.text import plain
from cbm.ui.thumbnails import encoded, thumbnail
from cbm.ui.views import PictureTile

_BARS = 10
_CHART = "image_shares"
_TARGET = "image_target"
_PREDICTION = "the prediction"
_NEAR = 6
_LISTED = 6
_SIDE = 480
"""Longest side of the large picture in pixels."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What every panel of the page needs to know."""

    root: str
    model: str
    study: Study
    recipe: Recipe
    subject: Subject
    judgement: Judgement
    concept: int | None
    """The concept whose heat-map is shown."""
    address: dict[str, str]
    """Query parameters of the model."""


def chosen_target() -> str | None:
    """The class whose score is explained; None stands for the class that is predicted now."""
    target = st.session_state.get(_TARGET)
    return None if target == _PREDICTION else target


# The prediction


def verdict(scene: Scene) -> None:
    """What the model says, and whether that is right."""
    judged = scene.judgement
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"### {plain(judged.predicted)}", anchors=False, width="content")
        if judged.correct is not None:
            st.badge(
                "right" if judged.correct else "wrong",
                icon=":material/check:" if judged.correct else ":material/close:",
                color="green" if judged.correct else "orange",
            )
        if judged.predicted != judged.predicted_before:
            st.badge("changed by your edits", icon=":material/edit:", color="violet")
    facts = [plain(scene.subject.title)]
    if judged.truth is not None:
        facts.append(f"truth: {plain(judged.truth)}")
    if judged.predicted != judged.predicted_before:
        facts.append(f"before: {plain(judged.predicted_before)}")
    st.caption(" · ".join(facts))
    st.plotly_chart(
        figures.probability_change(judged.probabilities, truth=judged.truth),
        key="image_probabilities",
        config=figures.CHART_OPTIONS,
        alt="Class probabilities: " + ", ".join(f"{name} {after:.0%}" for name, _, after in judged.probabilities),
    )


def concepts(scene: Scene) -> None:
    """The concepts as shares of a class score; a click on one shows where it is."""
    judged = scene.judgement
    classes = dict.fromkeys(
        name for name in (judged.predicted, judged.truth, judged.predicted_before, judged.target, *scene.study.classes) if name
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Concepts behind it", anchor=False, width="content")
        st.selectbox(
            "Explain the score of",
            [_PREDICTION, *classes],
            key=_TARGET,
            format_func=lambda name: f"{name} (truth)" if name == judged.truth else name,
            label_visibility="collapsed",
            width=210,
            help="Whose score is explained",
        )
    bars = [part for part in judged.parts if part.contribution != 0 or part.edited][:_BARS]
    if not bars:
        st.caption(f"No concept of this image has a weight for {plain(judged.target)}; its score is the class bias alone.")
        return
    rest = sum(part.share for part in judged.parts) - sum(part.share for part in bars)
    st.plotly_chart(
        share_bars(bars, rest=rest, target=judged.target, chosen=scene.concept),
        key=_CHART,
        config=figures.CHART_OPTIONS,
        on_select=lambda: _take_bar(bars),
        selection_mode="points",
        alt=f"Shares of the score of {judged.target}: " + ", ".join(f"{part.name} {100 * part.share:+.0f} %" for part in bars),
    )
    st.caption(
        f"Score {figures.signed(judged.logit)} logits, class bias {figures.signed(judged.bias)} among them. "
        "Click a bar to see where in the image its concept is."
    )


def _take_bar(bars: Sequence[Part]) -> None:
    points = st.session_state[_CHART]["selection"]["points"]
    if points and points[0]["point_index"] < len(bars):
        session.put("concept", bars[points[0]["point_index"]].concept)


# The picture


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
    where = f", lit where “{part.name}” is" if heat is not None and part is not None else ""
    view = PickerView(
        picture=_large_picture(scene, patches is not None),
        alt=f"{subject.title}, taken for {scene.judgement.predicted}{where}",
        rows=rows,
        columns=columns,
        heat=None if heat is None else heat.ravel().tolist(),
        opacity=heatmaps.OPACITY,
    )
    patch = patch_picker(view, key=f"image_patch-{subject.item}")
    if patches is None:
        st.caption(f":material/visibility_off: No heat-map, and no patches to click. {plain(problem or 'This backbone has no patches.')}")
    elif patch is None:
        st.caption("Click a patch, or reach it with Tab and the arrow keys, to see the concepts that fire there.")
    else:
        _patch_lists(scene, concepts_at(scene.study, subject, patches, patch), divmod(patch, columns))


def _concept_choice(scene: Scene, *, disabled: bool) -> Part | None:
    parts = {part.concept: part for part in scene.judgement.parts}
    key = f"image_concept-{scene.subject.item}-{scene.concept}"
    st.selectbox(
        "Show where",
        [None, *parts],
        index=0 if scene.concept not in parts else 1 + list(parts).index(scene.concept),
        key=key,
        format_func=lambda concept: "– the plain picture –" if concept is None else f"{parts[concept].name}",
        on_change=lambda: session.put("concept", "none" if st.session_state[key] is None else st.session_state[key]),
        disabled=disabled,
        help="The picture is darkened where this concept does not respond.",
    )
    return parts.get(st.session_state[key]) if not disabled else None


def _large_picture(scene: Scene, patched: bool) -> str:
    """The part of the picture that the backbone sees, or, without patches, all of it."""
    subject = scene.subject
    mode = encoders.encoder(scene.study).backbone.resize_mode if patched else "squash"
    if subject.uri is not None:
        return large_picture(subject.uri, mode)
    if subject.picture is None:
        return thumbnail("")
    shown = heatmaps.as_seen(subject.picture, mode).copy()
    shown.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return encoded(shown)


@st.cache_resource(max_entries=256, show_spinner=False)
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
        st.caption("No concept fires at this patch on its own.")
    both = [entry for entry in found if entry.elsewhere]
    only = [entry for entry in found if not entry.elsewhere]
    for column, title, entries in zip(st.columns(2, gap="small"), ("Whole image too", "Only here"), (both, only), strict=True):
        with column:
            st.caption(f"{title} ({len(entries)})")
            for entry in entries[:_LISTED]:
                name = scene.study.name(entry.concept, scene.recipe)
                st.page_link(
                    navigation.CONCEPT,
                    label=f"{plain(figures.shorten(name, 16))} :gray[{entry.activation:.1f}]",
                    query_params={**scene.address, "concept": str(entry.concept)},
                    help=f"{name}, concept {entry.concept}: activation {entry.activation:.2f} at this patch",
                )
            if len(entries) > _LISTED:
                st.caption(f"and {len(entries) - _LISTED} weaker ones")


# What would change it, and what is near


def counterfactual(scene: Scene) -> None:
    """The fewest concepts without which the model would say something else."""
    counter = scene.judgement.counter
    with st.container(border=True):
        st.markdown("**What would change the prediction?**")
        if counter is None:
            st.markdown("No ablation of its concepts does: the class stays whatever is switched off.")
            return
        names = ", ".join(f"**{plain(name)}**" for name in counter.names)
        st.markdown(f"Without {names} it would be **{plain(counter.rival)}** ({counter.share:.0%}). No smaller set of concepts changes it.")
        own = scene.subject.row is None
        if st.button(
            "Try it everywhere on the intervene page" if own else "Try it on the intervene page",
            key="image_try",
            icon=":material/tune:",
            help="Adds these ablations to your edits; undo takes them back."
            + (" Edits cannot name an uploaded image, so they apply to all images." if own else " They concern this image alone."),
        ):
            session.add_edit(scene.model, *counter.edits)
            shown = None if own else scene.subject.item
            st.switch_page(navigation.INTERVENE, query_params={**scene.address, **({} if shown is None else {"image": shown})})


@st.cache_resource(max_entries=4, show_spinner=False)
def neighbours(root: str, model: str, _study: Study) -> Neighbours:
    return Neighbours(_study)


def nearest(scene: Scene) -> None:
    """Held-out images that the backbone, and the concepts, find alike."""
    finder = neighbours(scene.root, scene.model, scene.study)
    left, right = st.columns(2, gap="large")
    for column, title, help_text, found, key in (
        (
            left,
            "Nearest by embedding",
            "Cosine of the embeddings: what the backbone finds alike.",
            finder.by_embedding(scene.subject, _NEAR),
            "image_near_embedding",
        ),
        (
            right,
            "Nearest by concepts",
            "Cosine of the concept activations: what the concepts keep of that.",
            finder.by_concepts(scene.subject, _NEAR),
            "image_near_concepts",
        ),
    ):
        with column:
            st.subheader(title, anchor=False, help=help_text)
            picture_grid(
                _near_tiles(scene, found),
                key=key,
                width=100,
                columns=3,
                link=lambda tile: {**scene.address, "image": scene.study.item(tile.row)},
            )


def _near_tiles(scene: Scene, found: Sequence[Near]) -> list[PictureTile]:
    tiles = scene.study.pictures([near.row for near in found], scene.recipe)
    return [replace(tile, title=f"{near.similarity:.2f}\n{tile.title}") for tile, near in zip(tiles, found, strict=True)]
