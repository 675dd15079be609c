"""The known-answer world: scenes whose every concept is known, with captions and masks."""

from cbm.images.scenes.captions import scene_vocabulary
from cbm.images.scenes.factors import CONCEPT_INDEX, CONCEPTS, FACTORS, TruthConcept
from cbm.images.scenes.tasks import CLASS_RULES, SHORTCUT_BACKGROUNDS, SHORTCUT_CLASSES
from cbm.images.scenes.world import KINDS, Scene, Scenes, read_scene

__all__ = [
    "CLASS_RULES",
    "CONCEPTS",
    "CONCEPT_INDEX",
    "FACTORS",
    "KINDS",
    "SHORTCUT_BACKGROUNDS",
    "SHORTCUT_CLASSES",
    "Scene",
    "Scenes",
    "TruthConcept",
    "read_scene",
    "scene_vocabulary",
]
