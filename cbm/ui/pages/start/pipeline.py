"""From images to a model that one can correct: the pipeline as five cards, and the one job that takes a visitor's own images through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cbm.backbones.architectures import DEMO
from cbm.core.errors import CbmError, NotFoundError
from cbm.study.study import Study
from cbm.ui.access import modes, uploads
from cbm.ui.frame import messages, resources
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.state import JOB, MODEL, ClassifyPage, ConceptsPage, DataPage, DiscoverPage, IntervenePage, PageState, StartPage, short
from cbm.ui.widgets import job_panel
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


# The visitor's own images, in one step


UPLOAD, FOLDER = "Upload", "Folder on this machine"
PHOTOGRAPHS, SCENES, CHECKPOINT = "Photographs", "Drawn scenes", "A checkpoint of mine"


class Backbone(NamedTuple):
    """What the verb `build` encodes with."""

    architecture: str
    weights: str | None
    """A tag of open_clip or a checkpoint file; None for the backbone that ships."""


BACKBONES = {
    "ViT-B/32 of LAION-2B: quick": Backbone("ViT-B-32", "laion2b_s34b_b79k"),
    "ViT-B/16 of DataComp: better, 3 times slower": Backbone("ViT-B-16", "datacomp_xl_s13b_b90k"),
    "ViT-L/14 of DataComp: best, 15 times slower": Backbone("ViT-L-14", "datacomp_xl_s13b_b90k"),
}
"""What to offer to somebody who knows none: architecture and tag of open_clip. The data page has the whole list."""


def own_images_form(root: str) -> None:
    """What a visitor fills in; on its button, uploads are kept and the work begins."""
    with st.container(border=True, key="own_images"):
        left, right = st.columns(2, gap="medium")
        with left:
            source = _source()
        with right:
            backbone = _backbone()
        ready = bool(source) and backbone is not None
        if st.button("Build a model", key="own_build", type="primary", icon=":material/play_arrow:", disabled=not ready):
            try:
                if source and backbone is not None:
                    _begin(root, source, backbone)
            except CbmError as error:
                messages.error(str(error))
            else:
                st.rerun()
        st.caption(
            "Encodes the images, finds concepts, names them and trains a classifier, one after the other. "
            "You can leave the page meanwhile. Every step has its own page if you want to choose more yourself."
        )


def _source() -> str | list[UploadedFile]:
    """What is to be read: uploaded files, or a path as text."""
    kind = UPLOAD
    if modes.may_use_paths():
        kind = st.segmented_control("Where your images are", [UPLOAD, FOLDER], default=UPLOAD, required=True, key="own_source")
    if kind == FOLDER:
        return st.text_input(
            "Folder, zip or table",
            key="own_folder",
            placeholder="/home/me/birds",
            help="A folder with one subfolder per class, a zip of one, or a table that lists the files.",
        ).strip()
    bounds = modes.limits()
    files = st.file_uploader(
        "A zip with one folder per class, or single images",
        type=[*uploads.PICTURE_TYPES, "zip", "tar", "gz", "csv", "tsv"],
        accept_multiple_files=True,
        key="own_files",
        max_upload_size=bounds.max_upload_megabytes,
    )
    if bounds.max_images is not None:
        st.caption(f"Up to {bounds.max_images:,} images. They are kept in your own workspace, and deleted with it.")
    return files


def _backbone() -> Backbone | None:
    """What is to see the images; None while it is not chosen."""
    kinds = [PHOTOGRAPHS, SCENES, *([CHECKPOINT] if modes.may_use_paths() else [])]
    kind = st.segmented_control("What they show", kinds, default=PHOTOGRAPHS, required=True, key="own_kind")
    if kind == SCENES:
        st.caption(
            "The small CLIP that ships with this project has only seen drawn scenes like the demo's. "
            "It is quick and needs no download, but knows nothing about photographs."
        )
        return Backbone(DEMO, None)
    if kind == CHECKPOINT:
        architecture = st.text_input("Architecture", key="own_architecture", placeholder="ViT-B-32").strip()
        weights = st.text_input("Weights file", key="own_weights", placeholder="/home/me/weights.safetensors").strip()
        return Backbone(architecture, weights) if architecture and weights else None
    chosen = st.selectbox("CLIP model", list(BACKBONES), key="own_backbone")
    # Whether they are here, the data page says: to look would load torch, and this page is the first that anybody waits for.
    st.caption("Its weights are taken from this machine, or downloaded once from where open_clip publishes them.")
    return BACKBONES[chosen]


def _begin(root: str, source: str | list[UploadedFile], backbone: Backbone) -> None:
    if isinstance(source, str):
        modes.require_paths()
        path = Path(source).expanduser()
        if not path.exists():
            raise NotFoundError(f"{path} does not exist on this machine. Give a folder of images, a zip or a table.")
        path, title = path.absolute(), path.name
    else:
        path = uploads.keep(root, source)
        title = source[0].name if len(source) == 1 else counted(len(source), "image")
    architecture, weights = backbone
    if weights is not None and Path(weights).expanduser().is_file():
        modes.require_paths()
        weights = str(Path(weights).expanduser().absolute())
    request = {"source": str(path), "backbone": architecture, "pretrained": weights}
    job_panel.submit("build", request, title=f"Build a model from {title}")


def watch_build(root: str, has_models: bool) -> None:
    """The latest such work while it lives, when the link asks for it, and how it ended where there is nothing else to see."""
    job = job_panel.latest(root, ("build", "demo"))
    if job is None or not (job.live or job.resuming or StartPage.read().job == job.id or not has_models):
        return
    with st.container(border=True, key="build_watch"):
        if job.live or job.resuming:
            st.markdown(f"**{plain(job.title)}**")
        job = job_panel.watch(job.id, key="build")
        if job.state == "done" and job.result is not None:
            _result(job.result)


def _result(result: Mapping[str, Any]) -> None:
    model = result.get("model")
    if model is None:
        notes = result.get("notes") or ["The images do not have labels of at least two classes, so there is nothing to classify."]
        st.info("Concepts were found and named, but no classifier was trained. " + " ".join(str(note) for note in notes))
        return
    for note in result.get("notes") or []:
        st.caption(str(note))
    st.button("Open the new model", key="open_built", type="primary", icon=":material/arrow_forward:", on_click=_open, args=(str(model),))


def _open(model: str) -> None:
    JOB.put(None)
    MODEL.put(short(model))
