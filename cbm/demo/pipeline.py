"""The whole pipeline on the known-answer world: discover, name, train, edit, export, and compare with the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cbm.core.files import write_json
from cbm.core.run import Run
from cbm.core.wording import percent
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.verbs.base import AsJob, OnDevice, Seeded, VerbResult, verb
from cbm.verbs.discover import Discover, discover
from cbm.verbs.edit import Edit, edit
from cbm.verbs.embed import Embed, embed
from cbm.verbs.export import Export, export
from cbm.verbs.name import Name, name
from cbm.verbs.train import Train, train
from cbm.verbs.vocabulary import MakeVocabulary, vocabulary
from cbm.workspace.workspace import Workspace

if TYPE_CHECKING:
    from cbm.dictionaries.base import Dictionary
    from cbm.embeddings.sets import EmbeddingSet
    from cbm.metrics.truth import TruthMatch
    from cbm.model.concept_model import ConceptModel
    from cbm.names.concepts import ConceptTable

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


@dataclass(frozen=True)
class Demo(OnDevice, Seeded):
    settings: DemoSettings = FULL
    """How much of the world it looks at."""


@dataclass(frozen=True)
class Demonstrated(VerbResult):
    embeddings: str
    dictionary: str
    concepts: str
    model: str
    bundle: str
    metrics: Mapping[str, Any]


def _figures(result: Mapping[str, Any]) -> str:
    return f"accuracy {percent(result['metrics']['accuracy_nec5'])} with 5 concepts per class"


_STAGES = (
    "drawing and encoding scenes",
    "discovering concepts",
    "naming them",
    "training concept models",
    "removing the shortcut",
    "comparing with the truth",
    "exporting",
)


@verb(Demo, job=AsJob("Build the demo", "start", "Open the demo", _figures))
def demo(settings: Demo, workspace: Workspace, run: Run) -> Demonstrated:
    """Run the whole pipeline on the known-answer world, offline.

    Runs every verb on scenes whose concepts are known; a second run finds everything made.

    The figures compare with the truth: `concepts_discovered` (best latent's AUC above 0.9), `names_right` (top-1, of the discovered ones),
    `pointing_game` (the heat-map's peak lies in the concept's mask), `accuracy_nec5` beside `linear_probe`, and the shortcut task's worst
    group before and after ablating the concepts that are named like its backgrounds.
    """
    world = settings.settings
    stages = run.stages([(title, 1.0) for title in _STAGES])
    with stages.next() as stage:
        sources = scene_sources(world, run.seed)
        sets = {key: embed.function(Embed(source), workspace, stage).embeddings for key, source in sources.items()}
    with stages.next() as stage:
        trained_on = [sets["free"], sets["train"], sets["shortcut_train"]]
        request = Discover(trained_on, width=world.width, k=world.k, epochs=world.epochs, learning_rate=world.learning_rate)
        discovered = discover.function(request, workspace, stage)
    with stages.next() as stage:
        words = vocabulary.function(MakeVocabulary("scenes"), workspace, replace(stage, progress=None))
        named = name.function(Name(discovered.dictionary, words.vocabulary), workspace, stage)
    with stages.next() as stage:
        trained = train.function(Train(named.concepts, sets["train"], test=sets["test"]), workspace, stage)
        shortcut = train.function(Train(named.concepts, sets["shortcut_train"], test=sets["shortcut_test"]), workspace, stage)
    with stages.next() as stage:
        recipe = _shortcut_recipe(workspace, shortcut.model)
        edited = edit.function(Edit(shortcut.model, recipe), workspace, stage)
    with stages.next() as stage:
        truth = _compared_with_truth(workspace, discovered.dictionary, named.concepts, sets["free_test"], world.located, run.device)
    with stages.next() as stage:
        exported = export.function(Export(trained.model, workspace.root / "bundles" / trained.model), workspace, stage)
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


def _shortcut_recipe(workspace: Workspace, model: str) -> Recipe:
    from cbm.images.scenes import SHORTCUT_BACKGROUNDS
    from cbm.model.concept_model import ConceptModel

    return ablation_of(ConceptModel.load(workspace.get(model).path), SHORTCUT_BACKGROUNDS)


def _compared_with_truth(workspace: Workspace, dictionary: str, concepts: str, images: str, located: int, device: str) -> dict[str, Any]:
    from cbm.dictionaries.base import load_dictionary
    from cbm.embeddings.sets import load_set
    from cbm.names.concepts import ConceptTable

    return measure_against_truth(
        load_dictionary(workspace.get(dictionary).path),
        ConceptTable.load(workspace.get(concepts).path),
        load_set(workspace, images),
        located,
        device,
    )


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
    """Ablates every concept that has one of `names`; found by name, so it is empty where naming failed."""
    found = [concept for name in names for concept in model.concepts_named(name)]
    return Recipe.of(*(AblateConcept(concept, model.names[concept]) for concept in found))


def measure_against_truth(
    dictionary: Dictionary, concepts: ConceptTable, images: EmbeddingSet, located: int, device: str = "auto"
) -> dict[str, Any]:
    """Discovery, naming and localisation of the known concepts, on scenes that nothing was trained on.

    Args:
        located: scenes per concept with a place whose heat-maps are compared with the masks.
    """
    from cbm.images.scenes import CONCEPTS
    from cbm.metrics.truth import match_known_concepts, names_right

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
    import numpy as np

    from cbm.backbones.backbone import Backbone
    from cbm.bottlenecks.heatmaps import concept_heat_maps
    from cbm.images.scenes import CONCEPTS, read_scene
    from cbm.metrics.truth import peak_inside

    backbone = Backbone("demo", device=device)
    placed = {concept.name for concept in CONCEPTS if concept.has_place}
    truth = dict(zip(images.concept_names, images.truth.T, strict=True))
    shares: dict[str, float] = {}
    hits = total = 0
    for concept, latent, discovered in zip(match.concepts, match.latents, match.discovered, strict=True):
        rows = np.flatnonzero(truth[concept])[:located]
        if not discovered or concept not in placed or len(rows) == 0:
            continue
        scenes = [read_scene(images.items["uri"].iloc[row]) for row in rows]
        patches = backbone.encode_patches(scene.draw(MASK_SIZE) for scene in scenes)
        heat = concept_heat_maps(dictionary, patches, np.array([latent]), images.space)[..., 0]
        inside = peak_inside(heat, np.stack([scene.masks(MASK_SIZE)[concept] for scene in scenes]))
        shares[concept] = float(inside.mean())
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
