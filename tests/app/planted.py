"""A small workspace whose dictionary is planted: it takes two seconds instead of minutes, and the app cannot tell the difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

from cbm.backbones.reference import BackboneReference
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.embeddings.sets import EmbeddingSet, write_set
from cbm.heads.base import LinearHead
from cbm.images.scenes import CONCEPTS, Scenes
from cbm.model.concept_model import ConceptModel
from cbm.model.save import write_model
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.study.study import Study
from cbm.workspace.ids import ArtifactId
from cbm.workspace.requests import Training
from cbm.workspace.rows import ChosenRows, RowSelection
from cbm.workspace.workspace import Draft, Workspace

BACKBONE = BackboneReference("demo", "", "0123456789abcdef0123456789abcdef")
DIM = 64
SPARE = 6
"""Concepts beyond the true ones: they fire at random and have no name."""
NEC = 5
SYNONYMS = {"crimson": "red"}
"""What the tests' own encoder takes for the same word."""

OpenApp = Callable[..., AppTest]
"""Opens a page of the app, given its name, perhaps a workspace, and query parameters."""


def build(root: Path) -> Workspace:
    """A workspace with the ten-class model and the shortcut model, as the demo leaves it."""
    workspace = Workspace(root)
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(DIM, DIM)))[0].astype(np.float32)[: len(CONCEPTS) + SPARE]
    dictionary = _dictionary(basis, generator)
    entries = {kind: _task(workspace, kind, dictionary, basis, generator) for kind in ("classes", "shortcut")}
    entries["classes"]["metrics"] |= {"concepts_discovered": 0.95, "names_right": 0.9, "pointing_game": 0.88, "linear_probe": 0.96}
    entries["classes"]["metrics"] |= {"worst_group_before": 0.41, "worst_group_after": 0.83}
    (workspace.root / "demo.json").write_text(json.dumps(entries["classes"] | {"shortcut": entries["shortcut"]}))
    return workspace


def _dictionary(basis: np.ndarray, generator: np.random.Generator) -> JumpReluDictionary:
    size = len(basis)
    return JumpReluDictionary(
        encoder=np.ascontiguousarray(basis.T),
        encoder_bias=generator.normal(0, 0.02, size).astype(np.float32),
        decoder=basis,
        decoder_bias=generator.normal(0, 0.02, DIM).astype(np.float32),
        threshold=np.full(size, 0.45, np.float32),
        mean=generator.normal(0, 0.05, DIM).astype(np.float32),
        scale=1.0,
    )


def _embeddings(workspace: Workspace, kind: str, split: str, count: int, basis: np.ndarray, generator: np.random.Generator) -> EmbeddingSet:
    scenes = Scenes(kind, count, 0, split)
    truth = np.asarray(scenes.truth_matrix, bool)
    present = np.concatenate([truth, generator.random((count, SPARE)) < 0.08], axis=1)
    vectors = (present * generator.gamma(8.0, 1 / 8, present.shape) + generator.normal(0, 0.22, present.shape)) @ basis
    uris = [scene.uri for scene in scenes]
    items = pd.DataFrame({"item": uris, "uri": uris, "label": scenes.labels, "group": scenes.groups, "split": split, "sha256": ""})
    known = pd.DataFrame({f"concept:{concept.name}": truth[:, index] for index, concept in enumerate(CONCEPTS)})

    def write(draft: Draft) -> None:
        write_set(
            draft,
            vectors.astype(np.float32),
            pd.concat([items, known], axis=1),
            classes=scenes.class_names,
            groups=scenes.group_names,
            backbone=BACKBONE,
            space="raw",
            name=f"scenes:{kind}?split={split}",
        )

    return EmbeddingSet.load(workspace.create("embeddings", {"source": f"planted:{kind}/{split}"}, (), write))


def _concepts(dictionary: JumpReluDictionary, train: EmbeddingSet, generator: np.random.Generator) -> ConceptTable:
    words = [concept.name for concept in CONCEPTS]
    frame = ConceptTable.unnamed(ActivationStatistics.of(dictionary.encode(np.asarray(train.embeddings)))).frame.copy()
    rows = range(len(frame))
    frame["name"] = [*words, *[""] * SPARE]
    frame["candidates"] = [[words[(row + step) % len(words)] for step in range(5)] for row in rows]
    frame["scores"] = [np.sort(generator.uniform(0.1, 0.6, 5))[::-1].tolist() for _ in rows]
    frame["score"] = [scores[0] for scores in frame["scores"]]
    frame["named"] = [row < len(words) for row in rows]
    return ConceptTable(frame, {"rule": "planted", "backbone": BACKBONE.to_dict(), "space": "raw", "vocabulary": "planted"})


def _head(codes: np.ndarray, labels: np.ndarray, classes: int) -> LinearHead:
    """Ridge regression, cut to the largest weights of each class: good, but wrong often enough to be corrected."""
    wanted = 6.0 * (np.eye(classes)[labels] - 1 / classes)
    centred = codes - codes.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + 5.0 * np.eye(codes.shape[1]), centred.T @ wanted).T
    weight[np.abs(weight) < np.sort(np.abs(weight), axis=1)[:, -NEC, None]] = 0.0
    bias = wanted.mean(axis=0) - weight @ codes.mean(axis=0)
    return LinearHead(weight.astype(np.float32), bias.astype(np.float32), "sparse", {"nec": NEC})


def _task(
    workspace: Workspace, kind: str, dictionary: JumpReluDictionary, basis: np.ndarray, generator: np.random.Generator
) -> dict[str, object]:
    train = _embeddings(workspace, kind, "train", 400, basis, generator)
    test = _embeddings(workspace, kind, "test", 200, basis, generator)
    table = _concepts(dictionary, train, generator)
    head = _head(dictionary.encode(np.asarray(train.embeddings)).to_dense(), train.labels, len(train.classes))
    data = {
        name: {"embeddings": part.id, "selection": "all", "count": len(part), "name": part.name}
        for name, part in (("training", train), ("test", test))
    }
    model = ConceptModel(dictionary, head, table, train.classes, backbone=BACKBONE, space="raw", method={"data": data})
    found = workspace.create("dictionary", {"planted": kind}, (train.id,), lambda draft: dictionary.save(draft.path))
    named = workspace.create("concepts", {"planted": kind}, (found.id, train.id), lambda draft: table.save(draft.path))
    rows = [ChosenRows(ArtifactId(part.id), RowSelection(), len(part), part.name) for part in (train, test)]
    made = workspace.create(Training(named.id, *rows, "sparse", (NEC,), 0, None), lambda draft: _write(model, draft))
    return {
        "model": made.id,
        "concepts": named.id,
        "dictionary": found.id,
        "train": train.id,
        "test": test.id,
        "metrics": {},
    }


def _write(model: ConceptModel, draft: Draft) -> None:
    write_model(model, draft.path)


def correctable(study: Study) -> tuple[int, int]:
    """A wrongly predicted image, and a concept whose ablation everywhere corrects it."""
    for row in study.rows(wrong_only=True):
        for concept, name in [(entry.concept, entry.name) for entry in study.prediction(row, Recipe()).contributions]:
            if study.prediction(row, Recipe.of(AblateConcept(concept, name))).correct:
                return row, concept
    raise AssertionError("no wrong prediction can be corrected by one ablation")
