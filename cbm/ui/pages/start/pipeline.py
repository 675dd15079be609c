"""The pipeline from images to a corrected model as five cards: what is there, what is next, and where to work on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import streamlit as st

from cbm.study.study import Study
from cbm.ui.access import modes
from cbm.ui.frame import resources
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.state import ClassifyPage, ConceptsPage, DataPage, DiscoverPage, IntervenePage, PageState, StartPage, short
from cbm.workspace import Artifact, ConceptsArtifact, DictionaryArtifact, EmbeddingsArtifact, ModelArtifact

State = Literal["done", "next", "later"]
KINDS: tuple[type[Artifact], ...] = (EmbeddingsArtifact, DictionaryArtifact, ConceptsArtifact, ModelArtifact)
_STATES: Mapping[State, str] = {
    "done": ":green[:material/check_circle: done]",
    "next": ":blue[:material/arrow_circle_right: next]",
    "later": ":gray[:material/radio_button_unchecked: later]",
}
_WRITING_PAGES = (DataPage, DiscoverPage)


@dataclass(frozen=True)
class Step:
    """One card."""

    title: str
    icon: str
    state: State
    figure: str
    text: str
    """One short line."""
    target: PageState
    """Where to work on it."""
    action: str
    """What the link to the page says."""


def draw(steps: Sequence[Step]) -> None:
    """The cards; each leads to its page, where this mode has one."""
    with st.grid(len(steps), min_column_width=150, gap="small", border=True, key=StartPage.key("pipeline")) as grid:
        for number, step in enumerate(steps, start=1):
            with grid.cell(), st.container(height="stretch", vertical_alignment="distribute", gap="small"):
                with st.container(gap="xsmall"):
                    st.caption(f"{number} · {_STATES[step.state]}")
                    st.markdown(f"{step.icon} **{step.title}**")
                    st.markdown(f"##### {plain(step.figure)}", anchors=False)
                    st.caption(plain(step.text))
                if step.state != "later" and (modes.may_write() or not isinstance(step.target, _WRITING_PAGES)):
                    step.target.link().draw(step.action, icon=":material/arrow_forward:", icon_position="right")


def of_model(root: str, model: str, edits: int) -> list[Step]:
    """The cards of a model in the workspace."""
    known = {str(artifact.id): artifact for of_kind in KINDS for artifact in resources.artifacts(root, of_kind)}
    return finished(resources.study(root, model), lineage_of(model, known), edits)


def without_model(root: str) -> list[Step]:
    """The cards of a workspace that has no model yet."""
    return unfinished({of_kind.kind_name: resources.artifacts(root, of_kind) for of_kind in KINDS})


def finished(study: Study, lineage: Mapping[str, Artifact], edits: int) -> list[Step]:
    """The cards of a finished model.

    Args:
        lineage: what the model was made from, by kind; what is no longer there is left out.
        edits: how many of the visitor's edits are in force.
    """
    named = sum(tile.named for tile in study.concepts(study.model.recipe))
    dictionary = lineage.get("dictionary")
    measured = dictionary.figures.reconstruction if isinstance(dictionary, DictionaryArtifact) else None
    return [
        Step(
            "Data",
            ":material/photo_library:",
            "done",
            counted(study.image_count + (study.training_images or 0), "image"),
            f"as vectors of the {study.held_out.backbone.architecture} backbone; {study.image_count:,} held out",
            DataPage(embeddings=_short_id(lineage, "embeddings")),
            "See the images",
        ),
        Step(
            "Discover",
            ":material/travel_explore:",
            "done",
            counted(study.concept_count, "concept"),
            f"hold {1 - measured.fvu:.0%} of what the images' vectors say" if measured is not None else "found without labels",
            DiscoverPage(dictionary=_short_id(lineage, "dictionary")),
            "See the run",
        ),
        Step(
            "Name",
            ":material/interests:",
            "done",
            f"{named:,} named",
            f"{study.concept_count - named:,} without a fitting name" if named < study.concept_count else "each with a fitting name",
            ConceptsPage(),
            "Browse concepts",
        ),
        Step(
            "Classify",
            ":material/category:",
            "done",
            "trained" if study.accuracy is None else f"{percent(study.accuracy)} right",
            f"{len(study.class_names):,} classes, {study.nec:.1f} concepts each",
            ClassifyPage(),
            "See each class",
        ),
        Step(
            "Intervene",
            ":material/tune:",
            "done" if edits else "next",
            f"{counted(edits, 'edit')} in force" if edits else "Your turn",
            "export the model when you are satisfied" if edits else "correct it, then export it",
            IntervenePage(),
            "Correct it",
        ),
    ]


def unfinished(artifacts: Mapping[str, Sequence[Artifact]]) -> list[Step]:
    """The cards of a workspace without a model: what is done, and what is next.

    Args:
        artifacts: by kind, those that the workspace holds.
    """
    texts: tuple[tuple[str, str, str, PageState, str], ...] = (
        ("Data", ":material/photo_library:", "a frozen CLIP model turns images into embeddings", DataPage(), "Bring images"),
        ("Discover", ":material/travel_explore:", "a sparse autoencoder finds concepts without labels", DiscoverPage(), "Find them"),
        ("Name", ":material/interests:", "each concept gets the best-fitting word", ConceptsPage(), "Name concepts"),
        ("Classify", ":material/category:", "a classifier uses a few concepts per class", ClassifyPage(), "Train a classifier"),
    )
    steps: list[Step] = []
    for of_kind, (title, icon, text, target, action) in zip(KINDS, texts, strict=True):
        kind = of_kind.kind_name
        found = artifacts.get(kind, ())
        earlier_done = all(step.state == "done" for step in steps)
        state: State = "done" if found else "next" if earlier_done else "later"
        # Names are given where concepts are found; the page of concepts has nothing to show before that.
        place = DiscoverPage() if kind == "concepts" and not found else target
        steps.append(Step(title, icon, state, _count_of(kind, found), text, place, action))
    last = Step("Intervene", ":material/tune:", "later", "–", "correct predictions, then export", IntervenePage(), "Correct it")
    return [*steps, last]


def _count_of(kind: str, found: Sequence[Artifact]) -> str:
    if not found:
        return "–"
    if kind == "embeddings":
        images = sum(artifact.figures.count or 0 for artifact in found if isinstance(artifact, EmbeddingsArtifact))
        return counted(images, "image") if images else counted(len(found), "set")
    return counted(len(found), {"dictionary": "run", "concepts": "naming"}.get(kind, "model"))


def _short_id(lineage: Mapping[str, Artifact], kind: str) -> str | None:
    return short(lineage[kind].id) if kind in lineage else None


def lineage_of(model: str, artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """What a model was made from, by kind, the nearest of each.

    Args:
        artifacts: all of the workspace, by id.
    """
    found: dict[str, Artifact] = {}
    waiting = [model]
    seen: set[str] = set()
    while waiting:
        artifact = artifacts.get(waiting.pop(0))
        if artifact is not None and artifact.id not in seen:
            seen.add(artifact.id)
            found.setdefault(artifact.kind, artifact)
            waiting += artifact.parents
    return found
