"""The form that trains a head, as a job."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.editing.recipe import NameEdit, Recipe
from cbm.jobs import Job
from cbm.metrics.classification import STANDARD_NECS
from cbm.registry import HEADS, VERBS
from cbm.study.image_sets import ImageSet, read_image_set
from cbm.study.training_data import ConceptsOption, concepts_option, testable, trainable
from cbm.ui.access import modes
from cbm.ui.frame import chosen, messages, resources
from cbm.ui.frame.layout import empty_card
from cbm.ui.frame.state import ClassifyPage, DataPage, DiscoverPage, StartPage
from cbm.ui.widgets import job_panel
from cbm.ui.widgets.settings_form import settings_form
from cbm.workspace import ConceptsArtifact, EmbeddingsArtifact

KIND = "train"
_HELD_OUT = "A held-out part of the same images"


def panel(chosen_concepts: str | None = None, named_by: str | None = None) -> None:
    """Train a head: what on, what kind, and how far the job is.

    Args:
        chosen_concepts: id of the concept table to offer first.
        named_by: a model over those concepts that was saved with names of its own, which may be kept.
    """
    if not modes.may_write():
        return
    root = modes.workspace_root()
    concepts, sets = _offers(root)
    st.subheader("Train another head" if resources.catalogue(root).models else "Train a head", anchor=False)
    messages.show_refusal(at=KIND)
    _job(root)
    if not concepts:
        st.caption("There are no named concepts yet. Discover some first, then train a head on them here.")
        DiscoverPage().link().draw("Discover concepts", icon=":material/travel_explore:")
        return
    with st.container(border=True, key=ClassifyPage.key("train_form")):
        _form(concepts, sets, chosen_concepts, named_by)


def first_panel() -> None:
    """A workspace without a model: what this page will show, and how to get there."""
    root = modes.workspace_root()
    if not modes.may_write() or not resources.artifacts(root, ConceptsArtifact):
        why = (
            "This page shows how accurate a classifier is when each class may use only a few concepts: class by class, confusion by "
            "confusion. It needs labelled images and discovered concepts first."
        )
        with empty_card("No classifiers yet", why, icon=":material/category:"):
            if modes.may_write():
                DataPage().link().draw("Import images", icon=":material/photo_library:")
                DiscoverPage().link().draw("Discover concepts", icon=":material/travel_explore:")
                StartPage().link().draw("Build the demo", icon=":material/flag:")
        return
    st.caption("No head has been trained yet. The concepts are ready: choose the images to learn from, and the result will appear here.")
    panel()


def has_names(recipe: Recipe) -> bool:
    """Whether a recipe renames, merges or hides."""
    return any(isinstance(edit, NameEdit) for edit in recipe.active)


def _offers(root: str) -> tuple[list[ConceptsOption], list[ImageSet]]:
    concepts = messages.readable(resources.artifacts(root, ConceptsArtifact), concepts_option)
    return concepts, messages.readable(resources.artifacts(root, EmbeddingsArtifact), read_image_set)


def _job(root: str) -> None:
    job = job_panel.latest(root, (KIND,))
    if job is not None and (job.live or job.id == ClassifyPage.read().job):
        job_panel.watch(job.id, key=ClassifyPage.key("train_job"), on_done=_show_trained)


def _show_trained(job: Job) -> None:
    chosen.show_made(job, "The new model is trained and selected.")


def _form(concepts: Sequence[ConceptsOption], sets: Sequence[ImageSet], first_offer: str | None, named_by: str | None) -> None:
    titles = {option.id: option for option in concepts}
    left, right = st.columns(2, gap="medium")
    first = list(titles).index(first_offer) if first_offer in titles else 0
    with left:
        table = titles[
            st.selectbox(
                "Concepts",
                list(titles),
                index=first,
                key=ClassifyPage.key("train_concepts"),
                format_func=lambda key: titles[key].title,
                help="A dictionary's concepts with their names. Discover makes new ones.",
            )
        ]
    training = {option.id: option for option in trainable(sets, table)}
    if not training:
        _no_labels(table)
        return
    with right:
        on = training[
            st.selectbox(
                "Learn from",
                list(training),
                key=ClassifyPage.key("train_on"),
                index=_first_training(list(training.values())),
                format_func=lambda key: training[key].menu_title,
                help="Labelled images, encoded by the same backbone as the concepts.",
            )
        ]
    with left:
        test = _test_choice(sets, on)
    with right:
        head = st.segmented_control(
            "Kind of head",
            HEADS.names,
            default=VERBS["train"].settings.head,
            required=True,
            key=ClassifyPage.key("train_head"),
            format_func=lambda kind: HEADS[kind].label,
        )
    part = HEADS[head]
    nec = STANDARD_NECS[0] if part.dense else _nec(left)
    with right:
        st.caption(part.summary)
    with st.expander("More settings", icon=":material/tune:"):
        seed, names_from = _more(named_by if table.id == first_offer else None)
        own = settings_form(part.settings, prefix=ClassifyPage.key("train_setting"), scope=head, without=("necs",))
    parameters = {"concepts": table.id, "on": on.id, "head": head, "necs": _necs(nec), "seed": seed, "options": own}
    parameters |= {name: value for name, value in (("test", test), ("names_from", names_from)) if value}
    st.button(
        "Train",
        key=ClassifyPage.key("train_go"),
        type="primary",
        icon=":material/play_arrow:",
        on_click=_submit,
        args=(parameters, part.label, on.title),
    )
    st.caption(
        "The linear probe, zero-shot, a dense head and random directions are measured on the same images. It takes seconds to minutes."
    )


def _no_labels(table: ConceptsOption) -> None:
    st.caption(
        f"There are no labelled images of {table.backbone.architecture} here. "
        "A head learns from labels: encode images sorted into one folder per class."
    )
    DataPage().link().draw("Import labelled images", icon=":material/photo_library:")


def _more(named_by: str | None) -> tuple[int, str | None]:
    """The seed, and the model whose names are carried over."""
    seed = st.number_input(
        "Seed",
        0,
        2**31 - 1,
        0,
        key=ClassifyPage.key("train_seed"),
        help="Used for splits and everything random. The same seed gives the same model.",
    )
    if named_by is None:
        return int(seed), None
    keep = st.checkbox(
        "Keep the chosen model's renames, merges and hides",
        value=True,
        key=ClassifyPage.key("train_names"),
        help="The ones that it was saved with.",
    )
    return int(seed), named_by if keep else None


def _necs(first: int) -> list[int]:
    return [first, *(standard for standard in STANDARD_NECS if standard != first)]


def _first_training(training: Sequence[ImageSet]) -> int:
    """A set that does not call itself a test set, the largest one."""
    order = sorted(range(len(training)), key=lambda index: ("test" in training[index].source.casefold(), -training[index].count))
    return order[0]


def _test_choice(sets: Sequence[ImageSet], on: ImageSet) -> str | None:
    tests = {option.id: option for option in testable(sets, on)}
    likely = [option.id for option in tests.values() if set(option.classes) == set(on.classes)]
    options = [_HELD_OUT, *tests]
    chosen = st.selectbox(
        "Measure on",
        options,
        index=options.index(likely[0]) if likely else 0,
        key=ClassifyPage.key("train_test", on.id),
        format_func=lambda key: tests[key].menu_title if key in tests else key,
        help="Images not used in training. Within one set, its test split is held out, or else a fifth of every class.",
    )
    return chosen if chosen in tests else None


def _nec(place: st.delta_generator.DeltaGenerator) -> int:
    with place:
        return int(
            st.number_input(
                "Concepts per class",
                1,
                200,
                STANDARD_NECS[0],
                key=ClassifyPage.key("train_nec"),
                help="Number of effective concepts (NEC): the mean number of concepts per class. People can still read about 5.",
            )
        )


def _submit(parameters: dict[str, object], head: str, images: str) -> None:
    # A callback runs before the page, which shows it in its place.
    with messages.refusals(at=KIND):
        job_panel.submit(KIND, parameters, title=f"Train on {images} ({head})")
