"""The whole line on the known-answer world: discover, name, train, edit, export, and compare with the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbm import verbs
from cbm.bottlenecks.heatmaps import concept_heat_maps
from cbm.core.errors import Cancelled
from cbm.core.files import write_json
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.dictionaries.base import Dictionary, load_dictionary
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.embeddings.sets import EmbeddingSet
from cbm.images.scenes import CONCEPTS, SHORTCUT_BACKGROUNDS, read_scene
from cbm.metrics.truth import TruthMatch, match_known_concepts, names_right, peak_inside
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ConceptTable
from cbm.verbs.common import load_set
from cbm.verbs.results import Demonstrated
from cbm.workspace.workspace import Workspace

POINTER = "demo.json"
"""File in the workspace that says which artefacts the demo made."""
MASK_SIZE = 128


@dataclass(frozen=True)
class DemoSettings:
    """How much of the world the demo looks at."""

    free: int = 5000
    """Scenes without a task, for discovery only."""
    free_test: int = 1000
    """Scenes without a task on which discovery is compared with the truth."""
    train: int = 2500
    test: int = 2000
    shortcut_train: int = 2000
    shortcut_test: int = 1000
    width: int = 64
    k: int = 8
    learning_rate: float = 1e-3
    """Lower than the default: a world of few concepts leaves latents dead at a higher one, and its heat-maps point less well."""
    epochs: int | None = None
    located: int = 40
    """Held-out scenes per concept whose heat-maps are looked at."""


FULL = DemoSettings()
TINY = DemoSettings(free=300, free_test=200, train=400, test=200, shortcut_train=200, shortcut_test=200, epochs=40, located=4)
"""For tests: the same steps in seconds, without the full demo's quality."""


def run(
    workspace: Workspace,
    *,
    settings: DemoSettings = FULL,
    device: str = "auto",
    seed: int = 0,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> Demonstrated:
    """Run every verb on scenes whose concepts are known; a second run finds everything made.

    The figures compare with the truth: `concepts_discovered` (best latent's AUC above 0.9), `names_right` (top-1, of the discovered ones),
    `pointing_game` (the heat-map's peak lies in the concept's mask), `accuracy_nec5` beside `linear_probe`, and the shortcut task's worst
    group before and after ablating the concepts that are named like its backgrounds.
    """
    steps = _Steps(progress, cancelled)
    with steps.next("Drawing and encoding scenes") as tell:
        sets = {
            name: verbs.embed(source, workspace=workspace, device=device, progress=tell, cancelled=cancelled).embeddings
            for name, source in scene_sources(settings, seed).items()
        }
    with steps.next("Discovering concepts") as tell:
        discovered = verbs.discover(
            [sets["free"], sets["train"], sets["shortcut_train"]],
            width=settings.width,
            k=settings.k,
            epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            workspace=workspace,
            device=device,
            seed=seed,
            progress=tell,
            cancelled=cancelled,
        )
    with steps.next("Naming them") as tell:
        words = verbs.vocabulary("scenes", workspace=workspace, device=device)
        named = verbs.name(discovered.dictionary, words.vocabulary, workspace=workspace, progress=tell)
    with steps.next("Training concept models") as tell:
        common: dict[str, Any] = {"workspace": workspace, "device": device, "seed": seed, "progress": tell, "cancelled": cancelled}
        trained = verbs.train(named.concepts, sets["train"], test=sets["test"], **common)
        shortcut = verbs.train(named.concepts, sets["shortcut_train"], test=sets["shortcut_test"], **common)
    with steps.next("Removing the shortcut"):
        recipe = ablation_of(ConceptModel.load(workspace.get(shortcut.model).path), SHORTCUT_BACKGROUNDS)
        edited = verbs.edit(shortcut.model, recipe, workspace=workspace)
    with steps.next("Comparing with the truth"):
        truth = measure_against_truth(
            load_dictionary(workspace.get(discovered.dictionary).path),
            ConceptTable.load(workspace.get(named.concepts).path),
            load_set(workspace, sets["free_test"]),
            settings.located,
            device,
        )
    with steps.next("Exporting"):
        exported = verbs.export(trained.model, workspace.root / "bundles" / trained.model, workspace=workspace)
    worst = edited.worst_group or {}
    metrics = {
        **truth,
        "fvu": discovered.fvu,
        "l0": discovered.l0,
        "dead": discovered.dead,
        "accuracy_nec5": trained.accuracy,
        "linear_probe": trained.linear_probe,
        "zero_shot": trained.zero_shot,
        "random_concepts_nec5": trained.random_concepts[0].accuracy,
        "worst_group_before": worst.get("before"),
        "worst_group_after": worst.get("after"),
        "shortcut_accuracy_before": edited.accuracy_before,
        "shortcut_accuracy_after": edited.accuracy_after,
        "shortcut_concepts_ablated": len(recipe.active),
        "export_max_abs_difference": exported.max_abs_difference,
    }
    result = Demonstrated(sets["train"], discovered.dictionary, named.concepts, trained.model, exported.bundle, metrics)
    _write_pointer(workspace, result, sets, shortcut.model, edited.model)
    return result


def scene_sources(settings: DemoSettings, seed: int) -> dict[str, str]:
    """The embedding sets of the demo as sources of images."""
    wanted = {
        "free": ("free", settings.free, "train"),
        "free_test": ("free", settings.free_test, "test"),
        "train": ("classes", settings.train, "train"),
        "test": ("classes", settings.test, "test"),
        "shortcut_train": ("shortcut", settings.shortcut_train, "train"),
        "shortcut_test": ("shortcut", settings.shortcut_test, "test"),
    }
    return {name: f"scenes:{kind}?count={count}&seed={seed}&split={split}" for name, (kind, count, split) in wanted.items()}


def ablation_of(model: ConceptModel, names: tuple[str, ...]) -> Recipe:
    """Ablates every concept that bears one of `names`; found by name, so it is empty where naming failed."""
    found = [concept for name in names for concept in model.concepts_named(name)]
    return Recipe.of(*(AblateConcept(concept, model.names[concept]) for concept in found))


def measure_against_truth(
    dictionary: Dictionary, concepts: ConceptTable, images: EmbeddingSet, located: int, device: str = "auto"
) -> dict[str, Any]:
    """Discovery, naming and localisation of the known concepts, on scenes that nothing was trained on.

    Args:
        located: scenes per concept with a place whose heat-maps are compared with the masks.
    """
    codes = dictionary.encode(images.embeddings)
    match = match_known_concepts(codes, images.truth, images.concept_names)
    words = {concept.name: concept.words for concept in CONCEPTS}
    located_share, by_concept = _pointing_game(dictionary, match, images, located, device)
    return {
        "concepts_discovered": match.concepts_discovered,
        "names_right": names_right(match, concepts.names, [words[name] for name in match.concepts]),
        "pointing_game": located_share,
        "known_concepts": [
            {
                "concept": name,
                "latent": int(latent),
                "auc": float(auc),
                "name": concepts.names[latent],
                "right": concepts.names[latent] in words[name],
                "pointing": by_concept.get(name),
            }
            for name, latent, auc in zip(match.concepts, match.latents, match.auc, strict=True)
        ],
    }


def _pointing_game(
    dictionary: Dictionary, match: TruthMatch, images: EmbeddingSet, located: int, device: str
) -> tuple[float, dict[str, float]]:
    """Share of (scene, concept) pairs whose heat-map peaks inside the mask, over all discovered concepts with a place, and for each."""
    from cbm.backbones.backbone import Backbone

    backbone = Backbone("demo", device=device)
    placed = {concept.name for concept in CONCEPTS if concept.has_place}
    truth = dict(zip(images.concept_names, images.truth.T, strict=True))
    shares: dict[str, float] = {}
    hits = total = 0
    for name, latent, discovered in zip(match.concepts, match.latents, match.discovered, strict=True):
        rows = np.flatnonzero(truth[name])[:located]
        if not discovered or name not in placed or len(rows) == 0:
            continue
        scenes = [read_scene(images.items["uri"].iloc[row]) for row in rows]
        patches = backbone.encode_patches(scene.draw(MASK_SIZE) for scene in scenes)
        heat = concept_heat_maps(dictionary, patches, np.array([latent]), images.space)[..., 0]
        inside = peak_inside(heat, np.stack([scene.masks(MASK_SIZE)[name] for scene in scenes]))
        shares[name] = float(inside.mean())
        hits, total = hits + int(inside.sum()), total + len(inside)
    return (hits / total if total else 0.0), shares


def _write_pointer(workspace: Workspace, result: Demonstrated, sets: dict[str, str], shortcut: str, edited: str) -> None:
    record = {
        **dataclasses.asdict(result),
        "train": sets["train"],
        "test": sets["test"],
        "shortcut": {"model": shortcut, "edited": edited, "train": sets["shortcut_train"], "test": sets["shortcut_test"]},
    }
    write_json(workspace.root / POINTER, record)


class _Steps:
    """Progress of the whole out of the progress of its steps, each of one seventh."""

    COUNT = 7

    def __init__(self, progress: ProgressCallback | None, cancelled: CancelCheck | None) -> None:
        self._progress, self._cancelled = progress, cancelled
        self._done = 0

    @contextmanager
    def next(self, title: str) -> Iterator[ProgressCallback]:
        def tell(inner: Progress) -> None:
            if self._progress is not None:
                done = round(1000 * (self._done + inner.fraction))
                self._progress(Progress(done, 1000 * self.COUNT, title, inner.figures))

        if self._cancelled is not None and self._cancelled():
            raise Cancelled("The demo was stopped; what was finished is kept, and the next run goes on from there.")
        tell(Progress(0, 1, title))
        yield tell
        self._done += 1
