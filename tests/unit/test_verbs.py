"""The verbs on a small demo workspace: what they promise each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cbm import verbs
from cbm.core.errors import InvalidInputError, MismatchError, NotFoundError
from cbm.demo import pipeline
from cbm.demo.pipeline import Demonstrated
from cbm.editing.recipe import AblateConcept, Recipe, RenameConcept
from cbm.embeddings.sets import EmbeddingSet, load_set, write_set
from cbm.model.concept_model import ConceptModel
from cbm.verbs.discover import _hold_out
from cbm.workspace.workspace import Draft, Workspace

Built = tuple[Workspace, Demonstrated]


def test_the_demo_reports_every_promised_figure(built_demo: Built) -> None:
    metrics = built_demo[1].metrics
    for name in (
        "concepts_discovered",
        "names_right",
        "pointing_game",
        "accuracy_nec5",
        "linear_probe",
        "worst_group_before",
        "worst_group_after",
    ):
        assert 0 <= metrics[name] <= 1, name
    assert metrics["export_max_abs_difference"] < 1e-5


def test_the_same_demo_again_makes_nothing_new(built_demo: Built) -> None:
    workspace, result = built_demo
    before = [artifact.id for artifact in workspace.list()]
    again = verbs.demo(workspace=workspace, settings=pipeline.TINY, device="cpu")
    assert [artifact.id for artifact in workspace.list()] == before
    assert again.record() == result.record()


def test_the_exported_bundle_predicts_like_the_model(built_demo: Built) -> None:
    workspace, result = built_demo
    native = ConceptModel.load(workspace.get(result.model).path)
    bundle = ConceptModel.load(result.bundle)
    images = load_set(workspace, result.embeddings).embeddings[:50]
    np.testing.assert_allclose(bundle.predict(images).logits, native.predict(images).logits, atol=1e-6)


def test_an_explanation_adds_up_to_the_logit(built_demo: Built) -> None:
    workspace, result = built_demo
    explained = verbs.explain(result.model, "3", workspace=workspace, top=2)
    listed = sum(line.contribution for line in explained.contributions)
    assert explained.bias + listed + explained.rest == pytest.approx(explained.logit, abs=1e-5)


def test_a_picture_is_explained_like_its_row(built_demo: Built) -> None:
    workspace, result = built_demo
    pointer = json.loads((workspace.root / pipeline.POINTER).read_text())
    images = load_set(workspace, pointer["test"])
    by_row = verbs.explain(result.model, "5", workspace=workspace)
    by_picture = verbs.explain(result.model, images.items["uri"].iloc[5], workspace=workspace, device="cpu")
    assert by_picture.prediction == by_row.prediction
    assert by_picture.logit == pytest.approx(by_row.logit, abs=1e-4)


def test_an_edit_is_measured_and_can_be_built_upon(demo_copy: Workspace, built_demo: Built) -> None:
    model = ConceptModel.load(demo_copy.get(built_demo[1].model).path)
    strongest = int(np.abs(model.head.weight).sum(axis=0).argmax())
    first = verbs.edit(built_demo[1].model, Recipe.of(AblateConcept(strongest, model.names[strongest])), workspace=demo_copy)
    assert first.corrected + first.newly_wrong > 0
    second = verbs.edit(first.model, Recipe.of(RenameConcept(0, model.names[0], "mine")), workspace=demo_copy)
    assert second.accuracy_before == second.accuracy_after == first.accuracy_after
    assert len(ConceptModel.load(demo_copy.get(second.model).path).recipe) == 2


def test_a_recipe_file_may_name_concepts_only(demo_copy: Workspace, built_demo: Built, tmp_path: Path) -> None:
    model = ConceptModel.load(demo_copy.get(built_demo[1].model).path)
    name = model.names[int(np.abs(model.head.weight).sum(axis=0).argmax())]
    (tmp_path / "recipe.json").write_text(json.dumps({"edits": [{"edit": "ablate_concept", "name": name}]}))
    edited = verbs.edit(built_demo[1].model, tmp_path / "recipe.json", workspace=demo_copy)
    assert edited.accuracy_after == pytest.approx(
        edited.accuracy_before + (edited.corrected - edited.newly_wrong) / len(load_set(demo_copy, _test_set(demo_copy)))
    )
    with pytest.raises(NotFoundError, match=r"nowhere\.json"):
        verbs.edit(built_demo[1].model, tmp_path / "nowhere.json", workspace=demo_copy)


def test_renames_survive_a_new_head(demo_copy: Workspace, built_demo: Built) -> None:
    result = built_demo[1]
    renamed = verbs.edit(result.model, Recipe.of(RenameConcept(1, "x", "dune")), workspace=demo_copy)
    trained = verbs.train(
        result.concepts,
        result.embeddings,
        test=_test_set(demo_copy),
        head="dense",
        necs=[5],
        names_from=renamed.model,
        workspace=demo_copy,
        device="cpu",
    )
    model = ConceptModel.load(demo_copy.get(trained.model).path)
    assert model.names[1] == "dune"
    assert model.head.kind == "dense"


def test_without_a_test_set_a_fifth_of_every_class_is_held_out(demo_copy: Workspace, built_demo: Built) -> None:
    result = built_demo[1]
    trained = verbs.train(result.concepts, result.embeddings, necs=[5], workspace=demo_copy, device="cpu", seed=4)
    data = ConceptModel.load(demo_copy.get(trained.model).path).method["data"]
    assert data["test"]["selection"] == "fifth 4"
    count = len(load_set(demo_copy, result.embeddings))
    assert data["test"]["count"] + data["training"]["count"] == count
    assert 0.15 * count < data["test"]["count"] < 0.25 * count
    assert verbs.explain(trained.model, "0", workspace=demo_copy).item


def test_evaluation_covers_labels_groups_and_known_concepts(built_demo: Built) -> None:
    workspace, result = built_demo
    pointer = json.loads((workspace.root / pipeline.POINTER).read_text())
    metrics = verbs.evaluate(pointer["shortcut"]["model"], pointer["shortcut"]["test"], workspace=workspace).metrics
    assert metrics["worst_group"] == pytest.approx(result.metrics["worst_group_before"])
    assert metrics["accuracy"] == pytest.approx(result.metrics["shortcut_accuracy_before"])
    assert {"concepts_discovered", "per_class", "confusion", "nec", "reconstruction"} <= set(metrics)
    json.dumps(verbs.evaluate(result.model, pointer["test"], workspace=workspace).record(), allow_nan=False)


@pytest.mark.parametrize("variant", ["kmeans", "pca", "random", "neurons"])
def test_baselines_go_through_the_same_verbs(variant: str, demo_copy: Workspace, built_demo: Built) -> None:
    result = built_demo[1]
    found = verbs.discover([result.embeddings], variant=variant, width=64, k=8, workspace=demo_copy)
    words = next(artifact.id for artifact in demo_copy.list("vocabulary"))
    named = verbs.name(found.dictionary, words, workspace=demo_copy)
    assert 0 < named.unique <= named.named


def test_unknown_variants_and_heads_are_refused(built_demo: Built) -> None:
    workspace, result = built_demo
    with pytest.raises(InvalidInputError, match="batchtopk"):
        verbs.discover([result.embeddings], variant="magic", workspace=workspace)
    with pytest.raises(InvalidInputError, match="dn-cbm"):
        verbs.train(result.concepts, result.embeddings, head="magic", workspace=workspace)


def test_unlabelled_images_cannot_train_a_head(built_demo: Built) -> None:
    workspace, result = built_demo
    free = next(a.id for a in workspace.list("embeddings") if not load_set(workspace, a.id).labelled.any())
    with pytest.raises(InvalidInputError, match="label"):
        verbs.train(result.concepts, free, workspace=workspace)


def test_vectors_of_another_backbone_are_refused(demo_copy: Workspace, built_demo: Built, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 512)).astype(np.float32)
    np.savez(tmp_path / "foreign.npz", embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels=np.arange(40) % 2)
    foreign = verbs.import_vectors(tmp_path / "foreign.npz", "ViT-B-32", "openai", workspace=demo_copy)
    assert (foreign.count, foreign.dim) == (40, 512)
    with pytest.raises(MismatchError):
        verbs.train(built_demo[1].concepts, foreign.embeddings, workspace=demo_copy)
    with pytest.raises(MismatchError):
        verbs.discover([built_demo[1].embeddings, foreign.embeddings], workspace=demo_copy)


def _test_set(workspace: Workspace) -> str:
    return json.loads((workspace.root / pipeline.POINTER).read_text())["test"]


def test_labels_are_matched_by_class_name_when_sets_number_them_differently(demo_copy: Workspace, built_demo: Built) -> None:
    # The same pictures and names, numbered the other way round: every figure must stay.
    images = load_set(demo_copy, _test_set(demo_copy))
    backwards = tuple(reversed(images.classes))
    turned = dataclasses.replace(images, classes=backwards, items=images.items.assign(label=len(backwards) - 1 - images.labels))
    artifact = demo_copy.create("embeddings", {"turned": True}, (), lambda draft: _write_again(draft, turned))
    model = ConceptModel.load(demo_copy.get(built_demo[1].model).path)
    strongest = int(np.abs(model.head.weight).sum(axis=0).argmax())
    recipe = Recipe.of(AblateConcept(strongest, model.names[strongest]))
    plainly = verbs.edit(built_demo[1].model, recipe, workspace=demo_copy)
    assert verbs.edit(built_demo[1].model, recipe, on=artifact.id, workspace=demo_copy).accuracy_after == plainly.accuracy_after
    trained = verbs.train(built_demo[1].concepts, built_demo[1].embeddings, test=artifact.id, necs=(5,), workspace=demo_copy)
    assert trained.linear_probe == pytest.approx(built_demo[1].metrics["linear_probe"], abs=1e-9)


def test_a_test_set_of_other_classes_is_refused(demo_copy: Workspace, built_demo: Built) -> None:
    images = load_set(demo_copy, _test_set(demo_copy))
    other = dataclasses.replace(images, classes=("strange", *images.classes[1:]))
    artifact = demo_copy.create("embeddings", {"strange": True}, (), lambda draft: _write_again(draft, other))
    with pytest.raises(MismatchError, match="strange"):
        verbs.edit(built_demo[1].model, Recipe.of(AblateConcept(0, "")), on=artifact.id, workspace=demo_copy)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "pca", "epochs": 3}, "takes no epochs"),
        ({"variant": "neurons", "matryoshka": (0.5, 1.0)}, "takes no matryoshka"),
        ({"variant": "kmeans", "learning_rate": 0.1}, "takes no learning-rate"),
        ({"variant": "dn-cbm", "width": 7}, "takes no width"),
        ({"width": 0}, "at least 1"),
        ({"variant": "random", "k": 0}, "at least 1"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(built_demo: Built, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        verbs.discover([built_demo[1].embeddings], workspace=built_demo[0], **settings)


def test_what_cannot_be_explained_or_edited_says_why(built_demo: Built, tmp_path: Path) -> None:
    workspace, result = built_demo
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(InvalidInputError, match=r"empty\.jpg cannot be explained"):
        verbs.explain(result.model, str(tmp_path / "empty.jpg"), workspace=workspace, device="cpu")
    with pytest.raises(InvalidInputError, match="fits 0 items"):
        verbs.explain(result.model, "x" * 5000, workspace=workspace)
    with pytest.raises(InvalidInputError, match="exported bundle"):
        verbs.edit(result.bundle, Recipe(), workspace=Workspace(tmp_path))


@pytest.mark.parametrize("count", [6, 12, 24, 40])
def test_a_few_dozen_images_leave_enough_held_out_to_measure(count: int) -> None:
    training, held_out = _hold_out(np.arange(count * 2, dtype=np.float32).reshape(count, 2), seed=0)
    assert len(held_out) >= 2
    assert len(training) + len(held_out) == count
    assert len(training) > len(held_out)


def _write_again(draft: Draft, images: EmbeddingSet) -> None:
    write_set(
        draft,
        [images.embeddings],
        images.items,
        classes=images.classes,
        groups=images.groups,
        backbone=images.backbone,
        space=images.space,
        dim=images.dim,
    )
