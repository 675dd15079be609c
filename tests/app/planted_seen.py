"""A small workspace whose images were encoded by the demo's own backbone: uploads and heat-maps work on it, as in the demo, in a second."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import planted

from cbm.backbones.backbone import Backbone
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.embeddings.sets import EmbeddingSet, to_space, write_set
from cbm.images.decode import decode
from cbm.images.pictures import read_bytes
from cbm.images.scenes import CONCEPTS, Scenes
from cbm.model.concept_model import ConceptModel
from cbm.model.save import write_model
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.workspace.workspace import Draft, Workspace

_COUNTS = {"train": 120, "test": 60}


def build(root: Path) -> Workspace:
    """A workspace with one ten-class model, whose concepts are the differences between scenes with and without each known concept."""
    workspace = Workspace(root)
    backbone = Backbone("demo")
    train, test = (_encoded(workspace, backbone, split) for split in _COUNTS)
    dictionary = _dictionary(train)
    codes = dictionary.encode(np.asarray(train.embeddings))
    frame = ConceptTable.unnamed(ActivationStatistics.of(codes)).frame.copy()
    frame["name"] = [concept.name for concept in CONCEPTS]
    frame["candidates"] = [[concept.name, "another name"] for concept in CONCEPTS]
    frame["scores"] = [[0.5, 0.1] for _ in CONCEPTS]
    frame["score"] = 0.5
    frame["named"] = True
    head = planted._head(codes.to_dense(), train.labels, len(train.classes))
    data = {
        name: {"embeddings": part.id, "selection": "all", "count": len(part), "name": part.name}
        for name, part in (("training", train), ("test", test))
    }
    table = ConceptTable(frame, {"rule": "planted"})
    model = ConceptModel(dictionary, head, table, train.classes, backbone=backbone.reference, space="l2", method={"data": data})
    made = workspace.create("model", {"planted": "seen"}, (train.id, test.id), lambda draft: _write(model, draft))
    (workspace.root / "demo.json").write_text(json.dumps({"model": made.id, "metrics": {}, "shortcut": {}}))
    return workspace


def _write(model: ConceptModel, draft: Draft) -> None:
    write_model(model, draft.path)


def _encoded(workspace: Workspace, backbone: Backbone, split: str) -> EmbeddingSet:
    scenes = Scenes("classes", _COUNTS[split], 0, split)
    uris = [scene.uri for scene in scenes]
    raw = backbone.encode_images([decode(read_bytes(uri), target_size=backbone.image_size) for uri in uris])
    items = pd.DataFrame({"item": uris, "uri": uris, "label": scenes.labels, "group": -1, "split": split, "sha256": ""})

    def write(draft: Draft) -> None:
        write_set(
            draft, to_space(raw, "l2"), items, classes=scenes.class_names, groups=(), backbone=backbone.reference, space="l2", name=split
        )

    return EmbeddingSet.load(workspace.create("embeddings", {"source": f"seen:{split}"}, (), write))


def _dictionary(train: EmbeddingSet) -> JumpReluDictionary:
    vectors = np.asarray(train.embeddings, np.float64)
    mean = vectors.mean(axis=0)
    truth = np.asarray(Scenes("classes", _COUNTS["train"], 0, "train").truth_matrix, bool)
    generator = np.random.default_rng(0)
    directions = np.stack(
        [
            vectors[column].mean(axis=0) - vectors[~column].mean(axis=0)
            if column.any() and not column.all()
            else generator.normal(size=len(mean))
            for column in truth.T
        ]
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    responses = (vectors - mean) @ directions.T
    return JumpReluDictionary(
        encoder=np.ascontiguousarray(directions.T, np.float32),
        encoder_bias=np.zeros(len(directions), np.float32),
        decoder=directions.astype(np.float32),
        decoder_bias=np.zeros(len(mean), np.float32),
        threshold=np.maximum(np.quantile(responses, 0.8, axis=0), 1e-3).astype(np.float32),
        mean=mean.astype(np.float32),
        scale=1.0,
    )
