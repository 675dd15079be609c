"""What this is, and what it found: a finished result, the pipeline behind it, three things to try, and a model of the visitor's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from cbm.core.errors import CbmError
from cbm.editing.recipe import Recipe
from cbm.study import scenarios
from cbm.study.prediction import Prediction
from cbm.study.study import Study
from cbm.ui.access import modes, visitors
from cbm.ui.frame import cache, chosen, edits, resources
from cbm.ui.frame.formats import percent, plain, points, signed
from cbm.ui.frame.layout import Headline, empty_card, headline_row, page_title
from cbm.ui.frame.state import ConceptsPage, IntervenePage, StartPage
from cbm.ui.pages.start import pipeline
from cbm.ui.widgets import figures, guides, job_panel
from cbm.ui.widgets.figures import explanations
from cbm.ui.widgets.galleries import concept_grid, verdict_badges
from cbm.ui.widgets.guides import Guide
from cbm.ui.widgets.thumbnails import thumbnail

SHOWN_CONCEPTS = 8
BUILD = "Build the demo"
_READ = 5
"""Bars of the prediction that is read aloud; the others are summed into one."""


def show() -> None:
    root = modes.workspace_root()
    catalogue = resources.catalogue(root)
    page_title(
        "Classifiers you can read, question and correct",
        "CBM Studio finds the concepts that a vision model already sees, gives them names, and builds a classifier from nothing else. "
        "So every prediction is a short sum of named concepts, and you can change it.",
    )
    if modes.may_write():
        pipeline.watch_build(root, bool(catalogue.models))
    if not catalogue.models:
        _without_model(root)
        return
    model = chosen.current()
    study, recipe = resources.study(root, model), edits.recipe(model)
    st.subheader(catalogue.models[model], anchor=False)
    st.caption(catalogue.about(model))
    headline_row(headlines(study, study.metrics), key=StartPage.key("headlines"))
    example = _example(visitors.home_of(root, model), model)
    if example is not None:
        _read_aloud(study.prediction(example.row, recipe))
    _ways_on(study)
    st.subheader("Try it", anchor=False)
    st.caption("Three things to try. The figures are measured on this model's held-out images, and every edit can be undone.")
    planted = str(catalogue.demo.get("shortcut", {}).get("model", ""))
    _guides(_scenarios(visitors.home_of(root, model), model, planted))
    st.subheader("From images to a model that you can correct", anchor=False)
    pipeline.draw(pipeline.of_model(root, model, len(recipe.active)))
    _strongest_concepts(study, recipe)
    if modes.may_write():
        st.subheader("Use your own images", anchor="own")
        pipeline.own_images_form(root)


def _without_model(root: str) -> None:
    if modes.may_write():
        _build_demo(root)
        st.subheader("Or use your own images", anchor=False)
        pipeline.own_images_form(root)
    else:
        why = (
            "Whoever runs this demo has not built a model so far: `cbm demo` makes one in a few minutes. "
            "Visitors of a demo can look and try, but not build."
        )
        with empty_card("Nothing to show yet", why, icon=":material/hourglass_empty:"):
            pass
    st.subheader("The way from images to a model that you can correct", anchor=False)
    pipeline.draw(pipeline.without_model(root))


def _build_demo(root: str) -> None:
    """What the demo is, and a button that builds it; the job panel above shows how it goes."""
    running = any(job.kind == "demo" and job.live for job in resources.jobs(root).list())
    with st.container(border=True):
        st.subheader("Nothing here yet: build the demo", anchor=False)
        st.markdown(
            "The demo draws a small world of scenes whose true concepts are known, and takes it through the pipeline:\n"
            "1. **Embed** several thousand scenes with a small CLIP that ships with this project\n"
            "2. **Discover** concepts in the embeddings, without labels\n"
            "3. **Name** them from a vocabulary\n"
            "4. **Train** a classifier that uses only a few concepts per class\n"
            "5. **Check** names and places against the truth, and remove a planted shortcut"
        )
        st.button(
            BUILD,
            key=StartPage.key("build_demo"),
            type="primary",
            icon=":material/play_arrow:",
            disabled=running,
            on_click=job_panel.ask,
            args=("demo", {}),
            kwargs={"title": BUILD},
        )
        st.caption("It takes a few minutes on two processor cores. It runs entirely on this machine, and nothing is downloaded.")


def _ways_on(study: Study) -> None:
    wrong = study.rows(wrong_only=True)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if st.button(
            "Correct a wrong prediction" if wrong else "See why it predicts what it predicts",
            key=StartPage.key("go_intervene"),
            type="primary",
            icon=":material/tune:",
        ):
            IntervenePage(image=study.item(wrong[0]) if wrong else None).link().open()
        ConceptsPage().link().draw(f"Browse all {study.concept_count:,} concepts", icon=":material/interests:")
        if modes.may_write():
            st.markdown(":material/add_photo_alternate: [Use your own images](#own)", width="content")


def _strongest_concepts(study: Study, recipe: Recipe) -> None:
    st.subheader("What it sees", anchor=False)
    st.caption(
        "The most influential concepts, each with the held-out images on which it is strongest. Open one to see all of its evidence."
    )
    tiles = [tile for tile in study.concepts(recipe) if not tile.hidden and tile.frequency > 0]
    deciding = sorted(tiles, key=lambda tile: -tile.predictiveness)[:SHOWN_CONCEPTS]
    concept_grid(study.with_pictures(deciding), key=StartPage.key("concepts"))


# One prediction


@cache.remember()
def _example(root: str, model: str) -> scenarios.Example | None:
    return scenarios.find_example(resources.study(root, model))


def _read_aloud(view: Prediction) -> None:
    """One image, what the model says, and the concepts that said so."""
    shown, rest = view.bars(_READ), view.rest(_READ)
    with st.container(border=True, key=StartPage.key("example")):
        left, right = st.columns([3, 8], gap="medium")
        with left:
            st.image(thumbnail(view.uri or "", 320), width="stretch", alt=f"Image {view.item}, predicted as {view.predicted}")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(f"**{plain(view.predicted)}**", width="content")
                verdict_badges(view.correct, changed=False)
        with right:
            st.markdown(_reasons(view))
            st.plotly_chart(
                explanations.contribution_bars(shown, rest=rest, bias=view.bias, target=view.predicted),
                key=StartPage.key("example", "bars"),
                config=figures.CHART_OPTIONS,
                alt="Contributions: " + ", ".join(f"{bar.name} {signed(bar.contribution)}" for bar in shown),
            )


def _reasons(view: Prediction) -> str:
    supporting = [bar for bar in view.bars(3) if bar.contribution > 0]
    named = [f"*{plain(bar.name)}* ({abs(bar.share):.0%} of the score)" for bar in supporting]
    because = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    reasons = f", mainly because of {because}" if because else ""
    return (
        f"The model says **{plain(view.predicted)}**{reasons}. "
        "The bars add up to the score and nothing else is involved, so changing a bar changes the prediction."
    )


# Guided scenarios


@cache.remember()
def _scenarios(root: str, model: str, planted: str) -> tuple[Guide, ...]:
    """Three guided scenarios, found in the model and, for the shortcut, in the demo's other task."""
    study = resources.study(root, model)
    titles = resources.catalogue(root).models
    mistake, doubt = scenarios.find_mistake(study), scenarios.find_doubt(study)
    found: list[Guide] = []
    if mistake is not None:
        found.append(guides.correct_a_mistake(mistake, study.labelled_images))
    else:
        instance = _example(root, model)
        found += [] if instance is None else [guides.change_its_mind(instance)]
    shortcut = scenarios.find_shortcut(study, model, titles.get(model, model))
    # A model of one's own has a story of its own, if it can; the demo's serves where there is none.
    own = not resources.catalogue(root).demo_entry(model)
    confusion = scenarios.find_confusion(study) if shortcut is None and own else None
    if shortcut is None and confusion is None and planted in titles and planted != model:
        shortcut = _shortcut_of(root, planted, titles[planted])
    if shortcut is not None:
        found.append(guides.remove_a_shortcut(shortcut, planted=shortcut.model == planted))
    elif confusion is not None:
        found.append(guides.untangle_two_classes(confusion, study.labelled_images))
    if doubt is not None:
        found.append(guides.question_a_name(doubt))
    return tuple(found)


def _shortcut_of(root: str, model: str, title: str) -> scenarios.Shortcut | None:
    try:
        return scenarios.find_shortcut(resources.study(root, model), model, title)
    except CbmError:
        # A second model that is damaged must not take the first one's page away; choosing it says what is wrong.
        return None


def _guides(found: Sequence[Guide]) -> None:
    with st.grid(len(found), min_column_width=270, gap="small", border=True, key=StartPage.key("guides")) as grid:
        for guide in found:
            with grid.cell(), guides.card(guide):
                if st.button(guide.button, key=f"guide_{guide.key}", icon=guide.icon, width="stretch"):
                    guide.target.link(guide.model).open()


# Figures


def _share(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


_AGAINST_TRUTH = (
    (
        "concepts_discovered",
        "Concepts found",
        "Known concepts of this world that a discovered concept separates with an AUC above 0.9.",
    ),
    ("names_right", "Named right", "Of those found: how many have a right name as their first candidate."),
    ("pointing_game", "Heat-map hits", "How often a concept's heat-map peaks inside the object it names."),
)


def headlines(study: Study, metrics: Mapping[str, Any]) -> list[Headline]:
    """The figures worth a first look, from what was recorded; what was not measured is left out, never made up."""
    found = _accuracy(study, _share(metrics, "linear_probe"))
    for key, label, text in _AGAINST_TRUTH:
        value = _share(metrics, key)
        if value is not None:
            found.append(Headline(label, percent(value), text))
    found += _worst_group(study, _share(metrics, "worst_group_before"), _share(metrics, "worst_group_after"))
    if len(found) <= 2:
        in_use = f"Of {study.concept_count:,} discovered, those with a weight for some class."
        found.append(Headline("Concepts in use", f"{study.concepts_used:,}", in_use))
        nec = "Number of effective concepts: the mean number of non-zero weights per class."
        found.append(Headline("Concepts per class", f"{study.nec:.1f}", nec))
    return found


def _accuracy(study: Study, probe: float | None) -> list[Headline]:
    # Measured on the model as it is stored: what was recorded may be of the model before its edits, or of other images.
    if study.accuracy is None:
        return []
    meaning = f"On {study.labelled_images:,} held-out images, with {study.nec:.1f} concepts per class on average."
    if probe is None:
        return [Headline("Accuracy", percent(study.accuracy), meaning, None)]
    meaning += f" A linear probe on the whole embedding, which is not readable, reaches {percent(probe)}."
    return [Headline("Accuracy", percent(study.accuracy), meaning, f"linear probe {percent(probe)}")]


def _worst_group(study: Study, before: float | None, after: float | None) -> list[Headline]:
    if before is not None and after is not None:
        meaning = f"Accuracy of the worst group once the planted shortcut's concepts are ablated; {percent(before)} before."
        return [Headline("Worst group", percent(after), meaning, points(before, after))]
    groups = study.groups()
    if groups is None:
        return []
    name, worst = groups.worst.name, groups.worst.accuracy
    return [Headline("Worst group", percent(worst), f"Accuracy of the worst group: {name}.")]
