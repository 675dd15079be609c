"""Reads off the workspace which calls made an artefact."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cbm.backbones.architectures import DEMO
from cbm.core.errors import InvalidInputError
from cbm.editing.recipe import Recipe
from cbm.embeddings.sets import EmbeddingSet, load_set
from cbm.images.archive_common import SEPARATOR
from cbm.names.names import SHIPPED
from cbm.reproduction.steps import File, Given, Made, Plan, Step
from cbm.study.opened import edit_request, load_model
from cbm.verbs.discover import training_arguments
from cbm.workspace.artifacts import Artifact, DictionaryArtifact
from cbm.workspace.requests import (
    Discovery,
    Editing,
    EncodedImages,
    EncodedNames,
    Fitting,
    ImportedNames,
    ImportedVectors,
    LoadedBundle,
    LoadedDictionary,
    Naming,
    OwnNames,
    Training,
)
from cbm.workspace.rows import RowSelection
from cbm.workspace.workspace import Workspace

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
        """Make sure that the steps make this artefact.

        Raises:
            InvalidInputError: no verb made it, or something that it was made from.
        """
        if not self.plan.makes(identifier):
            artifact = self._workspace.get(identifier)
            match artifact.made:
                case EncodedImages():
                    self._encoded_images(artifact)
                case ImportedVectors():
                    self._imported_vectors(artifact)
                case EncodedNames() | ImportedNames() as request:
                    self._names(artifact.id, request)
                case Discovery() as request:
                    self._discovery(artifact.id, request)
                case Fitting() as request:
                    self._fitting(artifact.id, request, "dictionary")
                case LoadedDictionary() as request:
                    self._loaded_dictionary(artifact.id, request)
                case Naming() as request:
                    self._naming(artifact.id, request)
                case OwnNames() as request:
                    made = self._workspace.get(request.dictionary, DictionaryArtifact).fitting
                    assert made is not None, "only methods name their concepts"
                    self._fitting(artifact.id, made, "concepts")
                case Training() as request:
                    self._training(artifact.id, request)
                case Editing() as request:
                    self._editing(artifact.id, request)
                case LoadedBundle() as request:
                    self._loaded(artifact.id, request)
                case _:
                    raise InvalidInputError(f"{artifact.id} was not made by a verb of this library, so no script can rebuild it.")
        return Made(identifier)

    def edit(self, makes: str, parent: str, recipe: Recipe, on: str | None) -> None:
        """A step that puts `recipe` in the place of the parent's own edits."""
        options: dict[str, Any] = {"recipe": self._file("edits", recipe.to_json()), "replace": True}
        if on is not None:
            options["on"] = self.require(on)
        self._add("edit", "edited", "model", makes, (self.require(parent),), options)

    def _encoded_images(self, artifact: Artifact) -> None:
        images = EmbeddingSet.load(artifact)
        source: Any = images.name
        if not images.name.startswith("scenes:"):
            what = f"The {len(images):,} images of {images.name}: a folder, table or archive of that name"
            source = self._ask("IMAGES", _common_root(images), what)
        options = self._backbone(images.backbone.to_dict()) | {"space": images.space}
        self._add("embed", _word(images.name), "embeddings", artifact.id, (source,), options)

    def _imported_vectors(self, artifact: Artifact) -> None:
        images = EmbeddingSet.load(artifact)
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

    def _names(self, identifier: str, request: EncodedNames | ImportedNames) -> None:
        source, backbone = request.source, request.backbone
        options = self._backbone(backbone)
        words: Any = source
        if isinstance(request, ImportedNames):
            words = self._ask("VOCABULARY", None, f"The file {source} with names and their vectors")
            options = {"backbone": backbone["architecture"], "pretrained": backbone["pretrained"]}
        elif source not in SHIPPED:
            words = self._ask("VOCABULARY", None, f"The file {source} with one name per line")
        self._add("vocabulary", "words", "vocabulary", identifier, (words,), options)

    def _discovery(self, identifier: str, request: Discovery) -> None:
        sets = [self.require(embeddings) for embeddings in request.sets]
        dim = load_set(self._workspace, request.sets[0]).dim
        self._add("discover", "dictionary", "dictionary", identifier, (sets,), training_arguments(request.training, dim))

    def _fitting(self, identifier: str, request: Fitting, result: str) -> None:
        """The one step that makes a bottleneck and its names; `result` says which of the two the identifier is."""
        options: dict[str, Any] = {"method": request.method, "seed": request.seed, "options": dict(request.options)}
        if request.vocabulary is not None:
            options["words"] = self.require(request.vocabulary)
        if request.on.selection == RowSelection():
            options["whole"] = True
        self._add("bottleneck", result, result, identifier, (self.require(request.on.embeddings),), options)

    def _loaded_dictionary(self, identifier: str, request: LoadedDictionary) -> None:
        source = self._ask("DICTIONARY", None, f"The dictionary that was loaded from the files of {request.format}")
        options: dict[str, Any] = {"on": self.require(request.measured_on)}
        if request.same_hook:
            options["same_hook"] = True
        self._add("load_dictionary", "dictionary", "dictionary", identifier, (source,), options)

    def _naming(self, identifier: str, request: Naming) -> None:
        made = self.require(request.dictionary)
        options: dict[str, Any] = {"vocabulary": self.require(request.vocabulary), "rule": request.rule}
        if request.on != self._workspace.get(request.dictionary, DictionaryArtifact).sets:
            options["on"] = self.require(request.on[0])
        if request.unique:
            options["unique"] = True
        self._add("name", "concepts", "concepts", identifier, (made,), options)

    def _editing(self, identifier: str, request: Editing) -> None:
        own = load_model(self._workspace, request.edited_from).test
        measured = request.measured_on
        self.edit(identifier, request.edited_from, Recipe.from_json(request.recipe), None if own == measured else measured.embeddings)

    def _loaded(self, identifier: str, request: LoadedBundle) -> None:
        bundle = self._ask("BUNDLE", None, "The exported bundle that the model was loaded from")
        options = {"on": self.require(request.measured_on.embeddings)} if request.measured_on else {}
        self._add("import_bundle", "model", "model", identifier, (bundle,), options)

    def _training(self, identifier: str, request: Training) -> None:
        made = self.require(request.concepts)
        options: dict[str, Any] = {"on": self.require(request.training.embeddings)}
        if request.test.embeddings != request.training.embeddings:
            options["test"] = self.require(request.test.embeddings)
        options |= {"head": request.head, "necs": list(request.necs), "seed": request.seed}
        options |= {"options": dict(request.options)} if request.options else {}
        if request.names is not None:
            options = {**options, "names_from": self._named_model(identifier, request, request.names, made, options)}
        self._add("train", "model", "model", identifier, (made,), options)

    def _named_model(self, identifier: str, request: Training, recipe: str, concepts: Made, options: Mapping[str, Any]) -> Made:
        """A model that has the names which were carried over: the same head without them, then with them as edits."""
        plain = replace(request, names=None).id
        if not self.plan.makes(plain):
            self._add("train", "model", "model", plain, (concepts,), options)
        names = Recipe.from_json(recipe)
        named = edit_request(plain, names, load_model(self._workspace, identifier).test_rows(self._workspace)).id
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
    """A JSON list, several names per line."""
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
