"""Reads off the workspace which calls made an artefact."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cbm.backbones.architectures import DEMO
from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import Recipe
from cbm.embeddings.sets import EmbeddingSet
from cbm.images.archive_common import SEPARATOR
from cbm.names.names import SHIPPED
from cbm.reproduction.steps import File, Given, Made, Plan, Step
from cbm.verbs.discover import training_arguments
from cbm.verbs.models import edit_request, load_model
from cbm.workspace.workspace import Artifact, Workspace, artifact_id

_CHECKPOINTS = (".safetensors", ".pt", ".pth", ".bin")
_NAMES_A_LINE = 8


class Lineage:
    """Collects the steps, parents before children, each once.

    Args:
        show_paths: whether files are named by where they lie on this machine.
    """

    def __init__(self, workspace: Workspace, show_paths: bool) -> None:
        self.plan = Plan()
        self._workspace = workspace
        self._show_paths = show_paths

    def require(self, identifier: str) -> Made:
        """Make sure that the steps make this artefact."""
        if not self.plan.makes(identifier):
            artifact = self._workspace.get(identifier)
            makers: dict[str, Callable[[Artifact], None]] = {
                "embeddings": self._embeddings,
                "vocabulary": self._vocabulary,
                "dictionary": self._dictionary,
                "concepts": self._concepts,
                "model": self._model,
            }
            makers[artifact.kind](artifact)
        return Made(identifier)

    def edit(self, makes: str, parent: str, recipe: Recipe, on: str | None) -> None:
        """A step that puts `recipe` in the place of the parent's own edits."""
        options: dict[str, Any] = {"recipe": self._file("edits", recipe.to_json()), "replace": True}
        if on is not None:
            options["on"] = self.require(on)
        self._add("edit", "edited", "model", makes, (self.require(parent),), options)

    def _embeddings(self, artifact: Artifact) -> None:
        images = EmbeddingSet.load(artifact)
        if "vectors" in artifact.parameters:
            self._imported(artifact, images)
            return
        if "source" not in artifact.parameters or "backbone" not in artifact.parameters:
            raise _by_other_means(artifact)
        source: Any = images.name
        if not images.name.startswith("scenes:"):
            what = f"The {len(images):,} images of {images.name}: a folder, table or archive of that name"
            source = self._ask("IMAGES", _common_root(images), what)
        options = self._backbone(images.backbone.to_dict()) | {"space": images.space}
        self._add("embed", _word(images.name), "embeddings", artifact.id, (source,), options)

    def _imported(self, artifact: Artifact, images: EmbeddingSet) -> None:
        source = self._ask("VECTORS", None, f"The vectors of {images.name}: {len(images):,} rows of {images.dim} numbers")
        options: dict[str, Any] = {"backbone": images.backbone.architecture, "pretrained": images.backbone.pretrained}
        if (images.items["uri"] != "").any():
            options["images"] = self._ask("PICTURES", _common_root(images), f"The folder of the pictures that {images.name} names")
        if images.classes:
            options["classes"] = self._file("classes", _lines(images.classes))
        self._add("import_vectors", _word(images.name), "embeddings", artifact.id, (source,), options)

    def _backbone(self, reference: Mapping[str, str]) -> dict[str, Any]:
        if reference["architecture"] == DEMO:
            return {"backbone": DEMO}
        weights: Any = reference["pretrained"]
        if weights.endswith(_CHECKPOINTS):
            # A checkpoint is remembered by its file name alone.
            weights = self._ask("CHECKPOINT", None, f"The checkpoint {weights} of {reference['architecture']}")
        return {"backbone": reference["architecture"], "pretrained": weights}

    def _vocabulary(self, artifact: Artifact) -> None:
        source = artifact.parameters.get("source")
        if not isinstance(source, str):
            raise _by_other_means(artifact)
        backbone = artifact.parameters["backbone"]
        options = self._backbone(backbone)
        words: Any = source
        if "contents" in artifact.parameters:
            words = self._ask("VOCABULARY", None, f"The file {source} with names and their vectors")
            options = {"backbone": backbone["architecture"], "pretrained": backbone["pretrained"]}
        elif source not in SHIPPED:
            words = self._ask("VOCABULARY", None, f"The file {source} with one name a line")
        self._add("vocabulary", "words", "vocabulary", artifact.id, (words,), options)

    def _dictionary(self, artifact: Artifact) -> None:
        if not artifact.parents or "training" not in artifact.parameters:
            raise _by_other_means(artifact)
        sets = [self.require(parent) for parent in artifact.parents]
        dim = EmbeddingSet.load(self._workspace.get(artifact.parents[0])).dim
        self._add("discover", "dictionary", "dictionary", artifact.id, (sets,), training_arguments(artifact.parameters["training"], dim))

    def _concepts(self, artifact: Artifact) -> None:
        if "rule" not in artifact.parameters or len(artifact.parents) < 3:
            raise _by_other_means(artifact)
        dictionary, words, *images = artifact.parents
        made = self.require(dictionary)
        options: dict[str, Any] = {"vocabulary": self.require(words), "rule": artifact.parameters["rule"]}
        if tuple(images) != self._workspace.get(dictionary).parents:
            options["on"] = self.require(images[0])
        if artifact.parameters["unique"]:
            options["unique"] = True
        self._add("name", "concepts", "concepts", artifact.id, (made,), options)

    def _model(self, artifact: Artifact) -> None:
        parameters = artifact.parameters
        if "recipe" in parameters:
            parent, measured = artifact.parents[0], parameters["measured_on"]
            own = load_model(self._workspace, parent).test_rows(self._workspace).record()
            self.edit(artifact.id, parent, Recipe.from_json(parameters["recipe"]), None if own == measured else measured["embeddings"])
        elif "bundle" in parameters:
            bundle = self._ask("BUNDLE", None, "The exported bundle that the model was loaded from")
            measured = parameters["measured_on"]
            options = {"on": self.require(measured["embeddings"])} if measured else {}
            self._add("import_bundle", "model", "model", artifact.id, (bundle,), options)
        elif "head" in parameters:
            self._trained(artifact)
        else:
            raise _by_other_means(artifact)

    def _trained(self, artifact: Artifact) -> None:
        parameters = artifact.parameters
        concepts, training, *tests = artifact.parents
        made = self.require(concepts)
        options: dict[str, Any] = {"on": self.require(training)}
        if tests:
            options["test"] = self.require(tests[0])
        options |= {"head": parameters["head"], "necs": list(parameters["necs"]), "seed": parameters["seed"]}
        if parameters["names"] is not None:
            options = {**options, "names_from": self._named_model(artifact, made, options)}
        self._add("train", "model", "model", artifact.id, (made,), options)

    def _named_model(self, artifact: Artifact, concepts: Made, options: Mapping[str, Any]) -> Made:
        """A model that bears the names which were carried over: the same head without them, then with them as edits."""
        plain = artifact_id("model", {**artifact.parameters, "names": None}, artifact.parents)
        if not self.plan.makes(plain):
            self._add("train", "model", "model", plain, (concepts,), options)
        names = Recipe.from_json(artifact.parameters["names"])
        parameters, parents = edit_request(plain, names, load_model(self._workspace, artifact.id).test_rows(self._workspace))
        named = artifact_id("model", parameters, parents)
        if not self.plan.makes(named):
            self.edit(named, plain, names, None)
        return Made(named)

    def _ask(self, name: str, value: str | None, comment: str) -> Given:
        known = value if self._show_paths else None
        for entry in self.plan.given:
            if (entry.value, entry.comment) == (known, comment):
                return entry
        entry = Given(_free(name, {given.name for given in self.plan.given}), known, comment)
        self.plan.given.append(entry)
        return entry

    def _file(self, name: str, text: str) -> File:
        for entry in self.plan.files:
            if entry.text == text:
                return entry
        file = File(_free(name, {entry.name.removesuffix(".json") for entry in self.plan.files}) + ".json", text)
        self.plan.files.append(file)
        return file

    def _add(self, verb: str, variable: str, result: str, makes: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        free = _free(variable, {step.variable for step in self.plan.steps})
        self.plan.steps.append(Step(verb, free, result, makes, tuple(arguments), dict(options)))


def _by_other_means(artifact: Artifact) -> InvalidInputError:
    return InvalidInputError(f"{artifact.id} was not made by a verb of this library, so no script can make it again.")


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while (name if number == 1 else f"{name}_{number}") in taken:
        number += 1
    return name if number == 1 else f"{name}_{number}"


def _common_root(images: EmbeddingSet) -> str | None:
    """The folder or archive below which every picture lies under its item's name; None where there is none."""
    item, uri = str(images.items["item"].iloc[0]), str(images.items["uri"].iloc[0])
    if not uri.endswith(item):
        return None
    root = uri.removesuffix(item)
    named = images.items[images.items["uri"] != ""]
    every = (named["item"].astype(str).radd(root) == named["uri"]).all()
    return (root.removesuffix(SEPARATOR).rstrip("/") or None) if every else None


def _lines(names: Sequence[str]) -> str:
    """A JSON list, some names a line."""
    quoted = [json.dumps(name, ensure_ascii=False) for name in names]
    rows = [", ".join(quoted[start : start + _NAMES_A_LINE]) for start in range(0, len(quoted), _NAMES_A_LINE)]
    return "[\n " + ",\n ".join(rows) + "\n]\n"


def _word(name: str) -> str:
    """A variable for images that call themselves so."""
    stem = name.partition("?")[0].removeprefix("scenes:")
    if name.startswith("scenes:") and "split=" in name:
        stem += "_" + name.partition("split=")[2].partition("&")[0]
    kept = "".join(character if character.isascii() and character.isalnum() else " " for character in stem.casefold()).split()
    return "_".join(["images", *kept])
