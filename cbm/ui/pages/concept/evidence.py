"""What the concept fires on, how strongly, and where in the pictures it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study import evidence
from cbm.study.concept_view import ConceptView
from cbm.study.images import JudgedImage, PictureTile
from cbm.study.study import Study
from cbm.ui.frame import layout
from cbm.ui.frame.chosen import Chosen
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.layout import pager
from cbm.ui.frame.slots import Slot, chosen_points, widget_value
from cbm.ui.frame.state import ConceptPage, ImagePage, Link
from cbm.ui.widgets import figures, heatmaps
from cbm.ui.widgets.figures.explanations import strength_histogram
from cbm.ui.widgets.galleries import picture_grid, tile_picture

_ANY = "Any strength"
_ROW = 6
_PAGE = 24
_WIDTH = 72


@dataclass(frozen=True, eq=False)
class Scene:
    """What every panel of the page needs to know."""

    chosen: Chosen
    detail: ConceptView
    selected: tuple[int, ...] | None = None
    """Held-out rows that the visitor looks at alone; None for all."""

    @property
    def study(self) -> Study:
        return self.chosen.study

    @property
    def recipe(self) -> Recipe:
        return self.chosen.recipe

    @cached_property
    def fired(self) -> evidence.Firing:
        """Where the concept fires, among the images that the visitor looks at."""
        return self.detail.fired if self.selected is None else self.detail.fired.within(self.selected)

    @property
    def images(self) -> int:
        """How many images the visitor looks at."""
        return self.study.image_count if self.selected is None else len(self.selected)

    @property
    def number(self) -> int:
        return self.detail.asked

    def image_link(self, tile: PictureTile) -> Link:
        """From a picture to the image page, where the concept is lit."""
        return ImagePage(self.study.item(tile.row), self.detail.summary.index).link()


def heat_switch(scene: Scene) -> bool:
    """The switch for heat-maps; disabled, with the reason, where there can be none."""
    never = heatmaps.why_never(scene.study)
    on = st.toggle(
        "Show where",
        key=ConceptPage.key("heat"),
        bind="query-params",
        disabled=never is not None,
        help=never or "Darkens what the concept does not respond to. The backbone looks at each picture again, patch by patch.",
    )
    return on and never is None


def _drawing(scene: Scene, heat: bool) -> Callable[[list[JudgedImage]], Callable[[PictureTile], str]]:
    """How a gallery's pictures are drawn: plain, or with the concept's heat-map."""
    problem = heatmaps.why_not(scene.study) if heat else None
    if problem is not None:
        st.info(problem, icon=":material/visibility_off:")
    if not heat or problem is not None:
        return lambda tiles: tile_picture

    def draw(tiles: list[JudgedImage]) -> Callable[[PictureTile], str]:
        # Where a concept is silent its largest response is noise, and a heat-map would light it up.
        firing = frozenset(scene.detail.fired.rows.tolist())
        heatmaps.prepare(scene.study, [tile.uri for tile in tiles if tile.row in firing])
        return lambda tile: (
            heatmaps.overlay(scene.chosen.root, scene.chosen.model, tile.uri, scene.detail.fired.members, tile.correct)
            if tile.row in firing
            else tile_picture(tile)
        )

    return draw


@st.fragment
def evidence_panel(scene: Scene) -> None:
    """The images on which the concept fires: top, middle and random ones, or those of one bar of the histogram."""
    fired = scene.fired
    left, right = st.columns([13, 7], gap="medium")
    with right:
        chosen, cut = _histogram(scene)
    with left:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.subheader("Images it fires on", anchor=False, width="content")
            heat = heat_switch(scene)
        if not len(fired.rows):
            which = "No held-out image" if scene.selected is None else "No image of the selection"
            st.info(f"{which} activates this concept.", icon=":material/motion_sensor_idle:")
            return
        drawing = _drawing(scene, heat)
        if chosen is None:
            _three_rows(scene, drawing)
        else:
            _one_bin(scene, drawing, evidence.in_bin(fired, cut, chosen), cut.label(chosen))
        if scene.study.labelled_images:
            st.caption(
                "The number is the activation. Solid border and ✓: the model gets the image right; dashed border and ✗: it does not. "
                "Click a number to open the image."
            )


def _gallery(scene: Scene, drawing: Callable, tiles: list[JudgedImage], name: str) -> None:
    picture_grid(
        tiles,
        key=ConceptPage.key(name),
        width=_WIDTH,
        columns=_ROW,
        draw=drawing(tiles),
        link=scene.image_link,
    )


def _fired_pictures(scene: Scene, positions: Sequence[int]) -> list[JudgedImage]:
    """Of the images on which the concept fires, those at some positions."""
    return scene.study.firing_pictures(scene.fired, scene.fired.rows[list(positions)].tolist(), scene.recipe)


def _three_rows(scene: Scene, drawing: Callable) -> None:
    fired = scene.fired
    sample = ConceptPage.read().sample
    shown = evidence.examples(fired, concept=scene.number, sample=sample, count=_ROW)
    st.markdown("**Strongest**")
    _gallery(scene, drawing, _fired_pictures(scene, shown.top), "pictures")
    if len(fired.rows) <= _ROW:
        st.caption("These are all images on which it fires.")
        return
    st.markdown("**Mid-range**, around the median")
    _gallery(scene, drawing, _fired_pictures(scene, shown.middle), "middle")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Random**, from all on which it fires", width="content")
        st.button(
            "Another sample",
            key=ConceptPage.key("sample"),
            icon=":material/casino:",
            type="tertiary",
            on_click=lambda: ConceptPage.put(sample=sample + 1),
            help="The URL records the sample, so a link shows the same images.",
        )
    _gallery(scene, drawing, _fired_pictures(scene, shown.random), "random")


def _one_bin(scene: Scene, drawing: Callable, positions: tuple[int, ...], label: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"{label.replace('-', '–')}  ({len(positions):,})",
            key=ConceptPage.key("range_clear"),
            icon=":material/close:",
            on_click=_choose_range,
            args=(scene.number, None),
            help="Show all strengths again",
            shortcut="Escape",
        )
        shown = positions[pager(len(positions), _PAGE, key=ConceptPage.key("page", scene.number, label))]
    if shown:
        _gallery(scene, drawing, _fired_pictures(scene, shown), "bin")
    else:
        layout.nothing_found("No image has an activation in this range.")


def _choose_range(concept: int, label: str | None) -> None:
    _range(concept).put(label or _ANY)
    ConceptPage.put(range=label)


def _range(concept: int) -> Slot[str]:
    """The choice among the bars of the histogram."""
    return Slot(ConceptPage.key("range", concept), _ANY)


def _histogram(scene: Scene) -> tuple[int | None, evidence.Bins]:
    """The histogram, and the same choice for the keyboard; returns the bar that was chosen."""
    fired = scene.fired
    cut = evidence.bins(fired)
    labels = cut.labels
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("How strongly it fires", anchor=False)
    share = percent(len(fired.rows) / max(1, scene.images))
    st.caption(f"On {counted(len(fired.rows), 'image')} of {scene.images:,} ({share}); silent on the rest.")
    if not len(fired.rows):
        return None, cut
    choice, asked = _range(scene.number), ConceptPage.read().range
    if not choice.is_set() and asked in labels:
        choice.put(asked)
    chosen = labels.index(choice.get()) if choice.get() in labels else None
    chart = ConceptPage.key("histogram", scene.number)

    def take_bar() -> None:
        points = chosen_points(chart)
        if points and points[0]["point_index"] < len(labels):
            _choose_range(scene.number, labels[points[0]["point_index"]])

    st.plotly_chart(
        strength_histogram(cut.edges, cut.counts, labels, images=scene.images, chosen=chosen),
        key=chart,
        config=figures.CHART_OPTIONS,
        on_select=take_bar,
        selection_mode="points",
        alt=f"Histogram of the activations of “{scene.detail.summary.name}” on {len(fired.rows)} images; choose a bar below",
    )
    counts = dict(zip(labels, cut.counts.tolist(), strict=True))
    st.selectbox(
        "Show images of one bar",
        [_ANY, *labels],
        key=choice.key,
        format_func=lambda label: label if label == _ANY else f"{label.replace('-', '–')} ({counts[label]:,})",
        on_change=lambda: ConceptPage.put(range=None if choice.get() == _ANY else choice.get()),
        help="The same as a click on a bar of the histogram.",
    )
    return chosen, cut


@st.fragment
def class_panel(scene: Scene) -> None:
    """The images of one class that have most and least of the concept: a spurious concept shows here first."""
    st.subheader("Within a class", anchor=False)
    labelled = [name for index, name in enumerate(scene.study.class_names) if (scene.study.labels == index).any()]
    if not labelled:
        st.caption("The held-out images have no labels, so they cannot be shown by class.")
        return
    name = _class_choice(scene, labelled)
    members = np.flatnonzero(scene.study.labels == scene.study.model.class_index(name))
    if not scene.detail.fired.dense()[members].any():
        st.caption(f"It is silent on every image of {plain(name)}.")
        return
    high, low = evidence.high_and_low(scene.detail.fired, members, _ROW)
    drawing = _drawing(scene, bool(widget_value(ConceptPage.key("heat"))) and heatmaps.why_never(scene.study) is None)
    for title, rows, key in (("Most of it", high, "high"), ("Least of it", low, "low")):
        if rows:
            st.markdown(f"**{title}**")
            _gallery(scene, drawing, scene.study.firing_pictures(scene.detail.fired, rows, scene.recipe), key)
    wrong = [sum(tile.correct is False for tile in scene.study.pictures(rows, scene.recipe)) for rows in (high, low)]
    st.caption(f"Wrong: {wrong[0]} of {len(high)} with most of it, {wrong[1]} of {len(low)} with least of it.")


def _class_choice(scene: Scene, labelled: Sequence[str]) -> str:
    choice, asked = Slot(ConceptPage.key("class", scene.number), ""), ConceptPage.read().of_class
    if not choice.is_set():
        choice.put(asked if asked is not None and asked in labelled else _telling_class(scene, labelled))
    return str(
        st.selectbox(
            "Images whose true class is",
            labelled,
            key=choice.key,
            format_func=plain,
            on_change=lambda: ConceptPage.put(of_class=choice.get()),
            width=320,
        )
    )


def _telling_class(scene: Scene, labelled: Sequence[str]) -> str:
    """The class that the concept supports most and fires in; else the one in which it fires most."""
    labels = scene.study.labels[scene.detail.fired.rows]
    fires_in = {scene.study.class_names[index] for index in set(labels[labels >= 0].tolist())}
    for name, weight in scene.detail.class_weights:
        if weight > 0 and name in fires_in:
            return name
    counts = np.bincount(labels[labels >= 0], minlength=len(scene.study.class_names))
    return scene.study.class_names[int(counts.argmax())] if fires_in else labelled[0]
