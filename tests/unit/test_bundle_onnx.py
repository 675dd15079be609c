"""The ONNX graph computes what the model computes, edits included."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_fakes import CLASSES, DIM, EDITS, SIZE, WITH_IMAGE_SCOPE, embeddings, full_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbm.editing.recipe import AblateConcept, ClassScope, GlobalScope, Recipe, ScaleConcept, ScaleWeight, SetConcept, SetWeight, ZeroWeight
from cbm.model import onnx as exporter
from cbm.model.concept_model import ConceptModel
from cbm.model.save import save_bundle

numbers = st.floats(-4, 4)
concepts = st.integers(0, SIZE - 1)
scopes = st.one_of(st.just(GlobalScope()), st.builds(ClassScope, st.sampled_from(CLASSES)))
foldable = st.one_of(
    st.builds(AblateConcept, concepts, st.just("x"), scopes),
    st.builds(SetConcept, concepts, st.just("x"), numbers, scopes),
    st.builds(ScaleConcept, concepts, st.just("x"), numbers, scopes),
    st.builds(SetWeight, concepts, st.just("x"), st.sampled_from(CLASSES), numbers),
    st.builds(ScaleWeight, concepts, st.just("x"), st.sampled_from(CLASSES), numbers),
    st.builds(ZeroWeight, concepts, st.just("x"), st.sampled_from(CLASSES)),
)


def run(file: Path, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import onnxruntime

    return onnxruntime.InferenceSession(str(file)).run(["logits", "activations"], {"embeddings": rows})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(foldable, max_size=8), st.integers(0, 10))
def test_graph_equals_the_model_under_any_recipe(tmp_path: Path, edits: list, seed: int) -> None:
    model = full_model(seed).with_recipe(Recipe.of(*edits))
    check = exporter.export_onnx(model, tmp_path / "model.onnx")
    assert check.rows == 256
    rows = embeddings(32)
    logits, _ = run(tmp_path / "model.onnx", rows)
    expected = model.predict(rows).logits
    np.testing.assert_allclose(logits, expected, atol=1e-5 * max(1, np.abs(expected).max()))


def test_activations_carry_the_global_edits_only(tmp_path: Path) -> None:
    model = full_model().with_recipe(EDITS)
    exporter.export_onnx(model, tmp_path / "model.onnx", embeddings(100))
    rows = embeddings(20)
    _, activations = run(tmp_path / "model.onnx", rows)
    expected = model.encode(rows).to_dense()
    assert (expected[:, [2, 4, 8]] > 0).any(axis=0).all()
    expected[:, 2] = 0
    expected[:, 4] *= -1.5
    expected[:, 6] = 0.7
    expected[:, 8] *= 0.5
    np.testing.assert_allclose(activations, expected, atol=1e-5)


def test_edits_at_image_scope_are_left_out(tmp_path: Path) -> None:
    exporter.export_onnx(full_model().with_recipe(EDITS), tmp_path / "plain.onnx")
    exporter.export_onnx(full_model().with_recipe(WITH_IMAGE_SCOPE), tmp_path / "image.onnx")
    np.testing.assert_array_equal(run(tmp_path / "plain.onnx", embeddings(9))[0], run(tmp_path / "image.onnx", embeddings(9))[0])


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_the_batch_is_free(tmp_path: Path, batch: int) -> None:
    exporter.export_onnx(full_model(space="raw"), tmp_path / "model.onnx")
    logits, activations = run(tmp_path / "model.onnx", embeddings(7)[:batch])
    assert logits.shape == (batch, 3)
    assert activations.shape == (batch, SIZE)


def test_the_graph_says_what_it_expects(tmp_path: Path) -> None:
    import onnx

    exporter.export_onnx(full_model(), tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(proto, full_check=True)
    properties = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    assert properties["classes"] == list(CLASSES)
    assert properties["space"] == "l2"
    assert len(properties["concepts"]) == SIZE
    assert proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value == DIM


def test_a_graph_that_differs_stops_the_export(tmp_path: Path) -> None:
    model = full_model()
    exporter.export_onnx(model, tmp_path / "model.onnx")
    bias = model.head.bias.copy()
    bias[1] += 0.01
    other = replace(model, head=replace(model.head, bias=bias))
    with pytest.raises(exporter.ExportError, match=r"by 0\.01 in logits"):
        exporter.check_onnx(other, tmp_path / "model.onnx", embeddings(50))


def test_the_report_lists_the_files_and_the_largest_difference(tmp_path: Path) -> None:
    report = save_bundle(full_model(), tmp_path / "bundle", ("onnx",), check_on=embeddings(40))
    assert report.max_abs_difference is not None
    assert report.max_abs_difference < 1e-4
    assert "model.onnx" in report.files
    assert set(report.files) == {file.relative_to(report.folder).as_posix() for file in report.folder.rglob("*") if file.is_file()}
    assert ConceptModel.load(report.folder).classes == CLASSES
