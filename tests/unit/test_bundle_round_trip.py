"""Bundles: saved and loaded models are equal, and damaged or foreign ones are refused with the reason."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundle_fakes import EDITS, WITH_IMAGE_SCOPE, embeddings, full_model
from model_fakes import small_model

from cbm.core.errors import CorruptArtifactError, InvalidInputError, NotFoundError
from cbm.editing.recipe import Recipe, RenameConcept
from cbm.model.bundle_files import REQUIRED, write_sums
from cbm.model.concept_model import ConceptModel
from cbm.model.save import save_bundle, write_model
from cbm.workspace.workspace import Workspace


@pytest.mark.parametrize("recipe", [Recipe(), EDITS.undo().toggle(1), WITH_IMAGE_SCOPE])
def test_a_loaded_model_predicts_and_explains_as_the_saved_one(tmp_path: Path, recipe: Recipe) -> None:
    model = full_model().with_recipe(recipe)
    save_bundle(model, tmp_path / "bundle", ("bundle",))
    loaded = ConceptModel.load(tmp_path / "bundle")
    rows, items = embeddings(64), [f"photo {row}.jpg" for row in range(64)]
    np.testing.assert_array_equal(loaded.predict(rows, items).logits, model.predict(rows, items).logits)
    assert loaded.explain(rows[3], items[3]).contributions == model.explain(rows[3], items[3]).contributions
    assert loaded.recipe == model.recipe
    assert loaded.names == model.names
    assert (loaded.classes, loaded.space, loaded.backbone) == (model.classes, model.space, model.backbone)
    assert loaded.method == model.method
    assert loaded.head.kind == "sparse"
    assert loaded.head.details["penalty"] == 0.25


def test_renames_survive_export(tmp_path: Path) -> None:
    save_bundle(full_model().edited(RenameConcept(0, "concept 0", "whiskers")), tmp_path / "bundle", ("bundle",))
    loaded = ConceptModel.load(tmp_path / "bundle")
    assert loaded.names[0] == "whiskers"
    assert loaded.concept_table.names[0] == "whiskers"
    assert loaded.concepts.names[0] == "concept 0"


def test_config_states_what_a_reader_needs(tmp_path: Path) -> None:
    save_bundle(full_model(), tmp_path / "bundle", ("bundle",), data={"training": "scenes", "rows": np.int64(4000)})
    config = json.loads((tmp_path / "bundle" / "config.json").read_text())
    assert config["schema"] == 1
    assert config["space"] == "l2"
    assert config["dictionary"] == {"kind": "jumprelu", "dim": 16, "size": 40}
    assert config["backbone"]["fingerprint"] == "0123456789abcdef0123456789abcdef"
    assert config["method"]["seed"] == 3
    assert config["method"]["vocabulary_digest"] == "abc"
    assert config["metrics"]["linear_probe"] == 0.95
    assert config["data"] == {"training": "scenes", "rows": 4000}


def test_equal_models_give_equal_bytes_and_sums_that_other_tools_accept(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_bundle(full_model().with_recipe(EDITS), tmp_path / name, ("bundle", "onnx"))
    assert (tmp_path / "one" / "SHA256SUMS").read_bytes() == (tmp_path / "two" / "SHA256SUMS").read_bytes()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "one", check=True)


def test_a_model_artefact_of_the_workspace_loads_too(tmp_path: Path) -> None:
    model = full_model().with_recipe(EDITS)
    artifact = Workspace(tmp_path).create("model", {"seed": 0}, (), lambda draft: write_model(model, draft.path) and None)
    np.testing.assert_array_equal(ConceptModel.load(artifact.path).predict(embeddings(5)).logits, model.predict(embeddings(5)).logits)
    with pytest.raises(InvalidInputError, match="not replaced"):
        save_bundle(model, artifact.path, ("bundle",))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(full_model(), tmp_path / "bundle", ("bundle",)).folder


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(CorruptArtifactError, match=f"lacks {name}"):
        ConceptModel.load(bundle)


@pytest.mark.parametrize("name", [*REQUIRED, "README.md"])
def test_one_changed_byte_is_noticed(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=f"{name} differs"):
        ConceptModel.load(bundle)


def test_missing_or_damaged_sums_are_refused(bundle: Path) -> None:
    sums = bundle / "SHA256SUMS"
    lines = sums.read_text().splitlines(keepends=True)
    sums.write_text("".join(line for line in lines if "recipe.json" not in line))
    with pytest.raises(CorruptArtifactError, match="does not list recipe"):
        ConceptModel.load(bundle)
    sums.write_text("nonsense\n")
    with pytest.raises(CorruptArtifactError, match="line 1"):
        ConceptModel.load(bundle)
    sums.write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptArtifactError, match="damaged"):
        ConceptModel.load(bundle)
    sums.unlink()
    with pytest.raises(CorruptArtifactError, match="SHA256SUMS is missing"):
        ConceptModel.load(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "dictionary/../../secret", "..\\secret", "link"])
def test_names_that_lead_out_of_the_bundle_are_refused(bundle: Path, name: str) -> None:
    secret = bundle.parent / "secret"
    secret.write_text("x")
    (bundle / "link").symlink_to(secret)
    with (bundle / "SHA256SUMS").open("a") as sums:
        sums.write(f"{hashlib.sha256(b'x').hexdigest()}  {name}\n")
    with pytest.raises(CorruptArtifactError, match="outside the bundle"):
        ConceptModel.load(bundle)


def rewrite_config(bundle: Path, **changes: object) -> None:
    config = json.loads((bundle / "config.json").read_text()) | changes
    (bundle / "config.json").write_text(json.dumps(config))
    write_sums(bundle)


def test_a_newer_schema_is_refused(bundle: Path) -> None:
    rewrite_config(bundle, schema=2)
    with pytest.raises(CorruptArtifactError, match="schema 2; this version reads 1"):
        ConceptModel.load(bundle)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["cat"]},
        {"classes": 3},
        {"space": "polar"},
        {"head": {}},
        {"backbone": {"architecture": "x"}},
        {"head": {"kind": "dense"}},
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused(bundle: Path, changes: dict) -> None:
    rewrite_config(bundle, **changes)
    with pytest.raises(CorruptArtifactError, match="does not fit together"):
        ConceptModel.load(bundle)


@pytest.mark.parametrize("key", ["backbone", "space", "dictionary", "head", "classes", "method", "data", "metrics", "version"])
def test_a_config_with_any_value_exchanged_is_refused_or_loads(bundle: Path, key: str) -> None:
    original = json.loads((bundle / "config.json").read_text())
    values: list = [None, 3, "x", [], {}, [1], True, {"kind": "dense", "details": 3}]
    for value in values:
        rewrite_config(bundle, **original | {key: value})
        with contextlib.suppress(CorruptArtifactError):
            ConceptModel.load(bundle).predict(embeddings(2))


def test_a_folder_of_something_else_is_no_bundle(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(NotFoundError):
        ConceptModel.load(tmp_path / "nowhere")
    with pytest.raises(CorruptArtifactError):
        ConceptModel.load(tmp_path)
    rewrite_config(bundle, library="other")
    with pytest.raises(CorruptArtifactError, match="library"):
        ConceptModel.load(bundle)


def test_an_older_bundle_is_replaced_and_anything_else_left_alone(tmp_path: Path, bundle: Path) -> None:
    save_bundle(full_model(1), bundle, ("bundle",))
    np.testing.assert_array_equal(ConceptModel.load(bundle).predict(embeddings(4)).logits, full_model(1).predict(embeddings(4)).logits)
    (tmp_path / "empty").mkdir()
    save_bundle(full_model(), tmp_path / "empty", ("bundle",))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidInputError, match="not replaced"):
        save_bundle(full_model(), tmp_path / "papers", ("bundle",))
    assert (tmp_path / "papers" / "thesis.tex").read_text() == "precious"
    with pytest.raises(InvalidInputError, match="not a folder"):
        save_bundle(full_model(), tmp_path / "papers" / "thesis.tex", ("bundle",))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bundle", "empty", "papers"]


def test_a_failed_export_leaves_nothing_and_keeps_the_older_bundle(tmp_path: Path, bundle: Path) -> None:
    before = (bundle / "SHA256SUMS").read_bytes()
    broken = replace(full_model(), method={"made": object()})
    with pytest.raises(InvalidInputError, match="JSON"):
        save_bundle(broken, bundle, ("bundle",))
    assert (bundle / "SHA256SUMS").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]


def test_unknown_formats_and_unsavable_bottlenecks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'pickle'"):
        save_bundle(full_model(), tmp_path / "bundle", ("pickle",))
    with pytest.raises(InvalidInputError, match="FakeBottleneck"):
        save_bundle(small_model(), tmp_path / "bundle", ("bundle",))
    with pytest.raises(InvalidInputError, match="format bundle alone"):
        save_bundle(small_model(), tmp_path / "bundle", ("bundle", "onnx"))


def test_the_card_tells_method_data_metrics_edits_and_limits(tmp_path: Path) -> None:
    model = full_model().with_recipe(WITH_IMAGE_SCOPE)
    save_bundle(
        model,
        tmp_path / "bundle",
        ("bundle", "onnx"),
        data={"training": "4000 scenes"},
        metrics={"accuracy": 0.91, "baselines": {"random": 0.5}, "path": [{"nec": 5, "accuracy": 0.85}, {"nec": 10, "accuracy": None}]},
    )
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name:")
    for part in ("ViT-B-32/openai", "batchtopk", "4000 scenes", "| accuracy | 0.91 |", "| baselines: random | 0.5 |", "Ablate “concept 2”"):
        assert part in card
    assert "| path | nec 5, accuracy 0.85; nec 10, accuracy not measured |" in card
    assert "Measured before the edits" in card
    assert "(not in the ONNX graph)" in card
    assert "dog \\| wolf" in card
    for section in ("## Use", "## Method", "## Data", "## Metrics", "## Edits", "## Limits", "## Files"):
        assert section in card
