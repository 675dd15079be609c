"""One image: what the model says, which concepts it sees, and where. `?image=` says which, `?concept=` what is lit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st
from PIL import Image

from cbm.core.errors import CbmError, NotFoundError
from cbm.editing.recipe import Recipe
from cbm.model.explanations import Contribution
from cbm.study.images import JudgedImage, Subject
from cbm.study.prediction import Prediction
from cbm.study.study import Study
from cbm.study.subject import Near, Neighbours, PatchConcept, concepts_at
from cbm.ui.frame import cache, edits, messages, resources
from cbm.ui.frame.chosen import Chosen, open_chosen
from cbm.ui.frame.formats import plain
from cbm.ui.frame.layout import page_title
from cbm.ui.frame.slots import Slot, chosen_points, widget_value
from cbm.ui.frame.state import ConceptPage, ImagePage, IntervenePage
from cbm.ui.pages.image.chooser import asked_row, choose_image
from cbm.ui.widgets import figures, heatmaps
from cbm.ui.widgets.components.patch_picker import PickerView, patch_picker
from cbm.ui.widgets.explained_class import PREDICTION, explained_class, explained_class_menu
from cbm.ui.widgets.figures import explanations
from cbm.ui.widgets.figures.explanations import share_bars
from cbm.ui.widgets.galleries import picture_grid, verdict_badges
from cbm.ui.widgets.thumbnails import encoded, thumbnail


def show() -> None:
    chosen = open_chosen("predictions")
    page_title("Image", "One image: what the model says, which concepts it sees, and where it sees them.")
    state = ImagePage.read()
    subject = choose_image(chosen, asked_row(chosen.study, state.image))
    if subject is None:
        return
    judgement = chosen.study.prediction(subject, chosen.recipe, explained_class(_TARGET))
    scene = Scene(chosen, subject, judgement, _lit_concept(chosen.study, judgement, state))
    left, right = st.columns([11, 17], gap="large")
    with right:
        verdict(scene)
        concepts(scene)
        counterfactual(scene)
    nearest(scene)
    # Last, because it may have to load the backbone: what the model says does not wait for it.
    with left:
        picture(scene)


def _lit_concept(study: Study, judgement: Prediction, state: ImagePage) -> int | None:
    """The concept whose heat-map is shown: the one that the link asks for, else the one that counts most."""
    if state.concept == "none":
        return None
    try:
        for problem in state.problems:
            messages.error(problem)
        if state.concept is not None:
            study.check_concept(state.concept)
            return state.concept
    except NotFoundError as error:
        messages.error(str(error))
    return judgement.contributions[0].concept if judgement.contributions else None


_BARS = 10
_CHART = ImagePage.key("shares")
_TARGET = Slot(ImagePage.key("target"), PREDICTION)
_NEAR = 6


@dataclass(frozen=True, eq=False)
class Scene:
    """What every panel of the page needs to know."""

    chosen: Chosen
    subject: Subject
    judgement: Prediction
    concept: int | None
    """The concept whose heat-map is shown."""

    @property
    def study(self) -> Study:
        return self.chosen.study

    @property
    def recipe(self) -> Recipe:
        return self.chosen.recipe


# The prediction


def verdict(scene: Scene) -> None:
    """What the model says, and whether that is right."""
    judged = scene.judgement
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"### {plain(judged.predicted)}", anchors=False, width="content")
        verdict_badges(judged.correct, changed=judged.predicted != judged.predicted_before)
    facts = [plain(scene.subject.title)]
    if judged.truth is not None:
        facts.append(f"truth: {plain(judged.truth)}")
    if judged.predicted != judged.predicted_before:
        facts.append(f"before: {plain(judged.predicted_before)}")
    st.caption(" · ".join(facts))
    st.plotly_chart(
        explanations.probability_change(judged.probabilities, truth=judged.truth),
        key=ImagePage.key("probabilities"),
        config=figures.CHART_OPTIONS,
        alt="Class probabilities: " + ", ".join(f"{name} {after:.0%}" for name, _, after in judged.probabilities),
    )


def concepts(scene: Scene) -> None:
    """The concepts as shares of a class score; a click on one shows where it is."""
    judged = scene.judgement
    leading = (judged.predicted, judged.truth, judged.predicted_before, judged.target)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Concepts behind it", anchor=False, width="content")
        explained_class_menu(_TARGET, leading, scene.study.class_names, truth=judged.truth, width=210, in_link=True)
    bars = judged.bars(_BARS)
    if not bars:
        st.caption(f"No concept of this image has a weight for {plain(judged.target)}; its score is the class bias alone.")
        return
    rest = sum(part.share for part in judged.contributions) - sum(part.share for part in bars)
    st.plotly_chart(
        share_bars(bars, rest=rest, target=judged.target, chosen=scene.concept),
        key=_CHART,
        config=figures.CHART_OPTIONS,
        on_select=lambda: _take_bar(bars),
        selection_mode="points",
        alt=f"Shares of the score of {judged.target}: " + ", ".join(f"{part.name} {100 * part.share:+.0f} %" for part in bars),
    )
    st.caption(
        f"Score {figures.signed(judged.logit)} logits, including a class bias of {figures.signed(judged.bias)} among them. "
        "Click a bar to see where in the image its concept is."
    )


def _take_bar(bars: Sequence[Contribution]) -> None:
    points = chosen_points(_CHART)
    if points and points[0]["point_index"] < len(bars):
        ImagePage.put(concept=bars[points[0]["point_index"]].concept)


# What would change it, and what is near


def counterfactual(scene: Scene) -> None:
    """The fewest concepts without which the model would say something else."""
    counter = scene.judgement.counterfactual
    with st.container(border=True):
        st.markdown("**What would change the prediction?**")
        if counter is None:
            st.markdown("Nothing: the prediction stays whatever concepts are ablated.")
            return
        names = ", ".join(f"**{plain(name)}**" for name in counter.names)
        verdict = f"**{plain(counter.rival)}** ({counter.probability:.0%})"
        st.markdown(f"Without {names} it would be {verdict}. No smaller set of concepts changes it.")
        own = scene.subject.row is None
        if st.button(
            "Try it everywhere on the intervene page" if own else "Try it on the intervene page",
            key=ImagePage.key("try"),
            icon=":material/tune:",
            help="Adds these ablations to your edits; undo reverts them."
            + (" Edits cannot name an uploaded image, so they apply to all images." if own else " They apply to this image only."),
        ):
            edits.add(scene.chosen.model, *counter.edits)
            IntervenePage(None if own else scene.subject.item).link().open()


@cache.remember()
def _neighbours(root: str, model: str) -> Neighbours:
    return Neighbours(resources.study(root, model))


def nearest(scene: Scene) -> None:
    """Held-out images that the backbone, and the concepts, find alike."""
    finder = _neighbours(scene.chosen.root, scene.chosen.model)
    left, right = st.columns(2, gap="large")
    for column, title, help_text, found, name in (
        (
            left,
            "Nearest by embedding",
            "Cosine similarity of the embeddings: what the backbone finds similar.",
            finder.by_embedding(scene.subject, _NEAR),
            "near_embedding",
        ),
        (
            right,
            "Nearest by concepts",
            "Cosine similarity of the concept activations: how much of that the concepts keep.",
            finder.by_concepts(scene.subject, _NEAR),
            "near_concepts",
        ),
    ):
        with column:
            st.subheader(title, anchor=False, help=help_text)
            picture_grid(
                _near_tiles(scene, found),
                key=ImagePage.key(name),
                width=100,
                columns=3,
                link=lambda tile: ImagePage(scene.study.item(tile.row)).link(),
            )


def _near_tiles(scene: Scene, found: Sequence[Near]) -> list[JudgedImage]:
    tiles = scene.study.pictures([near.row for near in found], scene.recipe)
    return [replace(tile, title=f"{near.similarity:.2f}\n{tile.title}") for tile, near in zip(tiles, found, strict=True)]


# The picture: where a concept is in it, and which concepts are at a patch of it

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
