"""What the model says about the image: the prediction with its concepts, what would change it, and what is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.model.explanations import Contribution
from cbm.study.images import JudgedImage, Subject
from cbm.study.prediction import Prediction
from cbm.study.study import Study
from cbm.study.subject import Near, Neighbours
from cbm.ui.frame import cache, edits, resources
from cbm.ui.frame.chosen import Chosen
from cbm.ui.frame.formats import plain
from cbm.ui.frame.slots import Slot, chosen_points
from cbm.ui.frame.state import ImagePage, IntervenePage
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import explanations
from cbm.ui.widgets.figures.explanations import share_bars
from cbm.ui.widgets.galleries import picture_grid, verdict_badges

_BARS = 10
_CHART = ImagePage.key("shares")
_PREDICTION = "the prediction"
_TARGET = Slot(ImagePage.key("target"), _PREDICTION)
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


def chosen_target() -> str | None:
    """The class whose score is explained; None means the class that is predicted now."""
    target = _TARGET.get()
    return None if target == _PREDICTION else target


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
    classes = dict.fromkeys(
        name for name in (judged.predicted, judged.truth, judged.predicted_before, judged.target, *scene.study.class_names) if name
    )
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader("Concepts behind it", anchor=False, width="content")
        st.selectbox(
            "Explain the score of",
            [_PREDICTION, *classes],
            key=_TARGET.key,
            bind="query-params",
            format_func=lambda name: f"{name} (truth)" if name == judged.truth else name,
            label_visibility="collapsed",
            width=210,
            help="Whose score is explained",
        )
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
