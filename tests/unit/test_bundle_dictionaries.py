"""Models on every kind of dictionary can be saved; only sparse autoencoders go into ONNX and SAELens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_fakes import embeddings, full_model

from cbm.core.errors import InvalidInputError
from cbm.dictionaries.base import Dictionary
from cbm.dictionaries.clusters import KMeansDictionary
from cbm.dictionaries.fixed import random_dictionary
from cbm.dictionaries.linear import NeuronDictionary, PcaDictionary
from cbm.dictionaries.saelens import load_saelens
from cbm.editing.recipe import AblateConcept
from cbm.model.concept_model import ConceptModel
from cbm.model.save import save_bundle
from cbm.names.concepts import ActivationStatistics, ConceptTable

TRAINING = embeddings(200, seed=9)
BASELINES = {
    "kmeans": lambda: KMeansDictionary.learn(TRAINING, size=12),
    "pca": lambda: PcaDictionary.learn(TRAINING, k=5),
    "neurons": lambda: NeuronDictionary.learn(TRAINING, k=5),
    "random": lambda: random_dictionary(TRAINING, size=30, k=5),
}


def model_on(dictionary: Dictionary) -> ConceptModel:
    model = full_model()
    generator = np.random.default_rng(4)
    head = replace(model.head, weight=generator.standard_normal((3, dictionary.size)).astype(np.float32))
    table = ConceptTable.unnamed(ActivationStatistics.of(dictionary.encode(TRAINING)))
    return replace(model, bottleneck=dictionary, head=head, concepts=table).edited(AblateConcept(3, "unnamed 3"))


@pytest.mark.parametrize("kind", BASELINES)
def test_models_on_baselines_survive_the_round_trip(tmp_path: Path, kind: str) -> None:
    model = model_on(BASELINES[kind]())
    save_bundle(model, tmp_path / "bundle", ("bundle",))
    loaded = ConceptModel.load(tmp_path / "bundle")
    np.testing.assert_array_equal(loaded.predict(embeddings(30)).logits, model.predict(embeddings(30)).logits)


@pytest.mark.parametrize("kind", ["kmeans", "pca", "neurons"])
def test_baselines_that_are_no_autoencoders_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    for format_name in ("onnx", "saelens"):
        with pytest.raises(InvalidInputError, match=f"on a {kind} bottleneck"):
            save_bundle(model_on(BASELINES[kind]()), tmp_path / "bundle", (format_name,))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("space", ["l2", "raw"])
def test_the_saelens_folder_holds_the_models_dictionary(tmp_path: Path, space: str) -> None:
    model = full_model(space=space)
    report = save_bundle(model, tmp_path / "bundle", ("saelens",))
    assert {"saelens/cfg.json", "saelens/sae_weights.safetensors"} <= set(report.files)
    config = json.loads((report.folder / "saelens" / "cfg.json").read_text())
    assert config["metadata"]["names"] == list(model.names)
    again = load_saelens(report.folder / "saelens")
    np.testing.assert_allclose(again.encode(embeddings(30)).to_dense(), model.encode(embeddings(30)).to_dense(), atol=1e-5)
    assert ConceptModel.load(report.folder).space == space


def test_random_directions_go_into_onnx(tmp_path: Path) -> None:
    report = save_bundle(model_on(BASELINES["random"]()), tmp_path / "bundle", ("onnx",), check_on=embeddings(50))
    assert report.check is not None
    assert report.check.boundary_rows == 0
