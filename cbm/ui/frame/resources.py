"""What all visitors share, made once and only read: the workspace's models, images and jobs, backbones, and the workers of the jobs.

Cache keys are ids and paths, never arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from cbm.backbones.architectures import DEMO
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, CorruptArtifactError, MissingWeightsError
from cbm.embeddings.sets import EmbeddingSet
from cbm.jobs import Jobs
from cbm.jobs.attached import crew
from cbm.study.study import Study
from cbm.ui.access import modes, quotas, visitors
from cbm.ui.frame import cache
from cbm.workspace.workspace import Artifact, Workspace

if TYPE_CHECKING:
    from cbm.backbones.backbone import Backbone


A = TypeVar("A", bound=Artifact)
_ASK_AGAIN = 300
"""Seconds until weights that were not found are looked for again: without a network the search itself may take a while."""
_TAKEN_UP: set[str] = set()
"""Workspaces whose left jobs are looked after."""


@dataclass(frozen=True)
class Catalogue:
    """The concept models of a workspace."""

    models: Mapping[str, str]
    """Id to title; the default first."""
    demo: Mapping[str, Any]
    broken: tuple[str, ...] = ()
    """One message for each model that cannot be read."""

    @property
    def default(self) -> str:
        return next(iter(self.models))

    def demo_entry(self, model: str) -> Mapping[str, Any]:
        """What the demo recorded about one of its models; empty for a model of one's own."""
        for entry in (self.demo, self.demo.get("shortcut", {})):
            if entry.get("model") == model:
                return entry
        return {}

    def about(self, model: str) -> str:
        """One sentence on what a model is."""
        if model == self.demo.get("model"):
            return (
                "A world of drawn scenes whose true concepts are known, so that one can check what was discovered and what it was called. "
                "All figures were measured on scenes that were not used in training; the worst group is that of a second task, "
                "whose planted shortcut was removed by ablating concepts found by their names."
            )
        if model == self.demo.get("shortcut", {}).get("model"):
            return (
                "Two classes that nearly always come with their own background in training, but not in the test: a shortcut was planted. "
                "Ablate the background concepts everywhere on the intervene page, and watch the worst group."
            )
        if model == self.demo.get("shortcut", {}).get("edited"):
            return "The same two classes after the background concepts were ablated; switch the edits off on the intervene page to compare."
        return "Measured on its held-out images."


def catalogue(root: str) -> Catalogue:
    """The models of a workspace, read again only when something was added or removed."""
    watched = (Path(root) / "artifacts", Path(root) / visitors.DEMO_RECORD)
    return _catalogue(root, tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in watched))


@cache.remember()
def _catalogue(root: str, stamp: tuple[int, ...]) -> Catalogue:
    # Something was added or removed since: the first to notice lets go of what was removed.
    cache.forget_removed(root)
    demo = _read_demo(Path(root) / visitors.DEMO_RECORD)
    artifacts, broken = [], []
    for folder in sorted((Path(root) / "artifacts").glob("model-*")):
        try:
            artifacts.append(Artifact.read(folder))
        except CorruptArtifactError as error:
            broken.append(str(error))
    artifacts.sort(key=lambda artifact: (artifact.created, artifact.id), reverse=True)
    titles = {artifact.id: _title(artifact) for artifact in artifacts}
    shortcut = demo.get("shortcut", {})
    featured = {
        demo.get("model"): "Demo: ten classes",
        shortcut.get("model"): "Demo: planted shortcut",
        shortcut.get("edited"): "Demo: shortcut removed",
    }
    ordered = {str(model): title for model, title in featured.items() if model in titles}
    return Catalogue(ordered | {model: title for model, title in titles.items() if model not in ordered}, demo, tuple(broken))


def _title(artifact: Artifact) -> str:
    kind = "Edited model" if "recipe" in artifact.parameters else "Loaded model" if "bundle" in artifact.parameters else "Model"
    return f"{kind} {artifact.id.short}, {artifact.created[:10]}"


def _read_demo(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        demo = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{file} cannot be read ({error}); remove it and run `cbm demo` again.") from error
    if not isinstance(demo, dict) or not isinstance(demo.get("shortcut", {}), dict):
        raise CorruptArtifactError(f"{file} is not what the demo writes; remove it and run `cbm demo` again.")
    return demo


def forget_catalogue() -> None:
    """Read the workspace again on the next run."""
    cache.forget(_catalogue)


def study(root: str, model: str) -> Study:
    """A model with its held-out images, ready to be asked.

    Raises:
        NotFoundError: the model or the images that it was tested on are gone.
        CorruptArtifactError: a file of them is damaged.
    """
    return _study(visitors.home_of(root, model), model)


@cache.remember("Loading the model and its held-out images …")
def _study(root: str, model: str) -> Study:
    opened = Study.open(model, workspace=root)
    loaded = replace(opened, metrics={**opened.metrics, **catalogue(root).demo_entry(model).get("metrics", {})})
    loaded.warm()
    return loaded


def artifacts(root: str, of_kind: type[A]) -> tuple[A, ...]:
    """The artefacts of one kind, newest first; damaged ones are left out (`cbm list` names them)."""
    folder = Path(root) / "artifacts"
    return _artifacts(root, of_kind.kind_name, folder.stat().st_mtime_ns if folder.exists() else 0)


@cache.remember()
def _artifacts(root: str, kind: str, stamp: int) -> tuple[Any, ...]:
    found = Workspace(root).list(kind)
    return tuple(sorted(found, key=lambda artifact: (artifact.created, artifact.id), reverse=True))


def embedding_set(root: str, identifier: str) -> EmbeddingSet:
    """An embedding set; its vectors are a read-only memory map.

    Raises:
        NotFoundError: there is no such set.
        CorruptArtifactError: a file of it is damaged.
    """
    return _embedding_set(visitors.home_of(root, identifier), identifier)


@cache.remember("Opening the images …")
def _embedding_set(root: str, identifier: str) -> EmbeddingSet:
    return EmbeddingSet.load(Workspace(root).get(identifier, "embeddings"))


@dataclass(frozen=True)
class SharedBackbone:
    """A backbone that all visitors use; encode under the lock, one at a time."""

    backbone: Backbone
    lock: Lock


def backbone(architecture: str, pretrained: str | None) -> SharedBackbone:
    """A CLIP backbone, to encode what a visitor types or uploads.

    Raises:
        CbmError: its weights are not available, or may not be used here; the message says what to do.
    """
    quotas.check_weights(architecture, pretrained)
    return _backbone(architecture, pretrained)


@cache.remember("Loading the backbone …")
def _backbone(architecture: str, pretrained: str | None) -> SharedBackbone:
    from cbm.backbones.backbone import Backbone

    return SharedBackbone(Backbone(architecture, pretrained or None), Lock())


def why_never_an_encoder(study: Study) -> str | None:
    """Why nothing can be encoded for this model on any machine, found out without loading anything; None where it may be."""
    reference = study.model.backbone
    if reference is None:
        return "This model does not say which backbone encoded its images, so new images and texts cannot be encoded."
    if reference.is_foreign:
        return (
            f"The images were imported as vectors from {reference.architecture}/{reference.pretrained}, without its weights. "
            "To encode new images or texts, encode the images with that backbone on the Data page and train on the result."
        )
    return None


def why_no_encoder(study: Study) -> str | None:
    """Why pictures and texts cannot be encoded for this model, in words for its user; None where they can be."""
    reference = study.model.backbone
    never = why_never_an_encoder(study)
    if never is not None or reference is None:
        return never
    return _encoder_trouble(reference.architecture, reference.pretrained, reference.fingerprint) or None


def encoder(study: Study) -> SharedBackbone:
    """The backbone that made the study's embeddings; encode under its lock.

    Raises:
        MissingWeightsError: it is not available; the message says why and what to do.
    """
    problem = why_no_encoder(study)
    if problem is not None or study.model.backbone is None:
        raise MissingWeightsError(problem or "This model names no backbone.")
    return _load(study.model.backbone.architecture, study.model.backbone.pretrained)


def _load(architecture: str, pretrained: str) -> SharedBackbone:
    return backbone(architecture, None if architecture == DEMO else pretrained)


@cache.remember("Looking for the backbone's weights …", seconds=_ASK_AGAIN)
def _encoder_trouble(architecture: str, pretrained: str, fingerprint: str) -> str:
    """Empty where the very weights can be loaded."""
    try:
        found = _load(architecture, pretrained).backbone.reference
    except CbmError as error:
        return f"The weights of {architecture}/{pretrained} are not available. {error}"
    if not found.matches(BackboneReference(architecture, pretrained, fingerprint)):
        return (
            f"The weights of {architecture}/{pretrained} on this machine are not those that encoded these images. "
            "Encode the images again on the data page, or restore the original weights."
        )
    return ""


def jobs(root: str) -> Jobs:
    """The jobs of a workspace.

    Raises:
        NotAllowedError: in demo mode, where even their empty table would have to be written.
    """
    modes.require_writing_mode()
    return _jobs(root)


@cache.remember()
def _jobs(root: str) -> Jobs:
    return Jobs(Workspace(root))


def ensure_worker(root: str, *, anew: bool = False) -> None:
    """See to it that a worker serves this workspace or will soon.

    Args:
        anew: a person asks; what went wrong before is forgotten.
    """
    if modes.may_write():
        crew().ensure(root, anew=anew)


def workspaces_first(root: str) -> int:
    """How many other workspaces get a worker before this one."""
    return crew().position(root)


def worker_trouble(root: str) -> str | None:
    """The last words of a worker that does not start; None where all is well."""
    return crew().trouble(root)


def take_up_jobs(root: str) -> None:
    """Once for each workspace that this server sees: resume the jobs that an earlier server left."""
    if not modes.may_write() or root in _TAKEN_UP:
        return
    _TAKEN_UP.add(root)
    # A workspace that never had jobs is left as it is.
    if (Path(root) / "jobs" / "jobs.db").is_file() and Jobs(Workspace(root)).waiting():
        ensure_worker(root)
