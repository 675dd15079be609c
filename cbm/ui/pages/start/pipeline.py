"""The line from images to a corrected model as five cards: what is there, what is next, and where to work on it. No Streamlit in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cbm.study.study import Study
from cbm.ui.frame import navigation
from cbm.ui.frame.text import counted, percent
from cbm.workspace.workspace import Artifact

State = Literal["done", "next", "later"]


@dataclass(frozen=True)
class Step:
    """One card."""

    title: str
    icon: str
    state: State
    figure: str
    text: str
    """One short line."""
    page: str
    action: str
    """What the link to the page says."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Query parameters of the page, beside those of the model."""


def finished(study: Study, lineage: Mapping[str, Artifact], edits: int) -> list[Step]:
    """The cards of a finished model.

    Args:
        lineage: what the model was made from, by kind; what is no longer there is left out.
        edits: how many of the visitor's edits are in force.
    """
    total = study.images + (study.training_images or 0)
    named = sum(tile.named for tile in study.concept_tiles(study.model.recipe))
    dictionary = lineage.get("dictionary")
    unexplained = dictionary.metrics.get("reconstruction", {}).get("fvu") if dictionary is not None else None
    explained = f"hold {1 - unexplained:.0%} of what the images' vectors say" if isinstance(unexplained, float) else "found without labels"
    return [
        Step(
            "Data",
            ":material/photo_library:",
            "done",
            counted(total, "image"),
            f"as vectors of the {study.held_out.backbone.architecture} backbone; {study.images:,} held out",
            navigation.DATA,
            "See the images",
            _parameter("embeddings", lineage),
        ),
        Step(
            "Discover",
            ":material/travel_explore:",
            "done",
            counted(study.concepts, "concept"),
            explained,
            navigation.DISCOVER,
            "See the run",
            _parameter("dictionary", lineage),
        ),
        Step(
            "Name",
            ":material/interests:",
            "done",
            f"{named:,} named",
            f"{study.concepts - named:,} without a name that fits" if named < study.concepts else "each with a name that fits",
            navigation.CONCEPTS,
            "Browse concepts",
        ),
        Step(
            "Classify",
            ":material/category:",
            "done",
            "trained" if study.accuracy is None else f"{percent(study.accuracy)} right",
            f"{len(study.classes):,} classes, {study.nec:.1f} concepts each",
            navigation.CLASSIFY,
            "See each class",
        ),
        Step(
            "Intervene",
            ":material/tune:",
            "done" if edits else "next",
            f"{counted(edits, 'edit')} in force" if edits else "Your turn",
            "export the model when you are content" if edits else "correct it, then export it",
            navigation.INTERVENE,
            "Correct it",
        ),
    ]


def unfinished(artifacts: Mapping[str, Sequence[Artifact]]) -> list[Step]:
    """The cards of a workspace without a model: what is done, and what is next.

    Args:
        artifacts: by kind, those that the workspace holds.
    """
    sets = artifacts.get("embeddings", ())
    images = sum(int(found.metrics.get("count", 0)) for found in sets)
    kinds = ("embeddings", "dictionary", "concepts", "model")
    texts = (
        ("Data", ":material/photo_library:", "images become vectors of a frozen CLIP model", navigation.DATA, "Bring images"),
        ("Discover", ":material/travel_explore:", "a sparse autoencoder finds concepts without labels", navigation.DISCOVER, "Find them"),
        ("Name", ":material/interests:", "each concept gets the word that fits it best", navigation.CONCEPTS, "Name concepts"),
        ("Classify", ":material/category:", "a classifier uses a few concepts per class", navigation.CLASSIFY, "Train a classifier"),
    )
    steps: list[Step] = []
    for kind, (title, icon, text, page, action) in zip(kinds, texts, strict=True):
        found = artifacts.get(kind, ())
        earlier_done = all(step.state == "done" for step in steps)
        state: State = "done" if found else "next" if earlier_done else "later"
        figure = _count_of(kind, len(found), images) if found else "–"
        # Names are given where concepts are found; the page of concepts has nothing to show before that.
        place = navigation.DISCOVER if kind == "concepts" and not found else page
        steps.append(Step(title, icon, state, figure, text, place, action))
    steps.append(Step("Intervene", ":material/tune:", "later", "–", "correct predictions, then export", navigation.INTERVENE, "Correct it"))
    return steps


def _count_of(kind: str, found: int, images: int) -> str:
    match kind:
        case "embeddings":
            return counted(images, "image") if images else counted(found, "set")
        case "dictionary":
            return counted(found, "run")
        case "concepts":
            return counted(found, "naming")
        case _:
            return counted(found, "model")


def _parameter(kind: str, lineage: Mapping[str, Artifact]) -> dict[str, str]:
    return {kind: lineage[kind].id.partition("-")[2][:8]} if kind in lineage else {}


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
