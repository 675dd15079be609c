"""Bundles as .zip files, and models taken from a bundle into a workspace."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm import verbs
from cbm.cli import command_line
from cbm.core.errors import CorruptArtifactError, InvalidInputError, MismatchError, NotFoundError
from cbm.editing.recipe import AblateConcept, Recipe
from cbm.embeddings.sets import load_set
from cbm.model.bundle_archive import MOST_FILES, pack, unpack
from cbm.model.concept_model import ConceptModel
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.build(tmp_path_factory.mktemp("planted") / "workspace")


@pytest.fixture(scope="module")
def bundle(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first model's bundle, with an edit."""
    folder = tmp_path_factory.mktemp("bundle") / "shapes"
    verbs.export(first_model(workspace), folder, formats=("bundle",), recipe=recipe(), workspace=workspace)
    return folder


def first_model(workspace: Workspace) -> str:
    return workspace.list("model")[0].id


def recipe() -> Recipe:
    return Recipe.of(AblateConcept(2, "cross"), AblateConcept(5, "ring"))


def images_of(workspace: Workspace) -> str:
    return str(ConceptModel.load(workspace.get(first_model(workspace)).path).method["data"]["test"]["embeddings"])


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


def test_loaded_model_predicts_what_the_exported_one_did(workspace: Workspace, bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "shapes.zip"
    file.write_bytes(pack(bundle, "shapes"))
    loaded = verbs.import_bundle(file, workspace=workspace)
    original = ConceptModel.load(workspace.get(first_model(workspace)).path).with_recipe(recipe())
    back = ConceptModel.load(workspace.get(loaded.model).path)
    images = load_set(workspace, images_of(workspace))
    assert np.abs(back.predict(images.embeddings).logits - original.predict(images.embeddings).logits).max() <= 1e-5
    assert back.recipe == original.recipe
    assert (loaded.on, loaded.images) == (images.id, len(images))
    assert loaded.accuracy == pytest.approx(float((original.predict(images.embeddings).labels == images.labels).mean()))


def test_loading_the_same_bundle_twice_gives_one_model(workspace: Workspace, bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "again.zip"
    file.write_bytes(pack(bundle, "again"))
    assert verbs.import_bundle(file, workspace=workspace) == verbs.import_bundle(bundle, workspace=workspace)


def test_a_bundle_without_its_images_is_loaded_but_says_that_it_has_none(bundle: Path, tmp_path: Path) -> None:
    elsewhere = Workspace(tmp_path / "elsewhere")
    loaded = verbs.import_bundle(bundle, workspace=elsewhere)
    assert (loaded.images, loaded.accuracy, loaded.on) == (0, None, None)
    assert elsewhere.get(loaded.model).parents == ()


def test_other_images_are_measured_with_and_the_old_figures_are_marked(workspace: Workspace, bundle: Path) -> None:
    other = next(artifact.id for artifact in workspace.list("embeddings") if artifact.id != images_of(workspace))
    loaded = verbs.import_bundle(bundle, on=other, workspace=workspace)
    artifact = workspace.get(loaded.model)
    assert artifact.metrics["measured_elsewhere"]["embeddings"] == images_of(workspace)
    assert ConceptModel.load(artifact.path).method["data"]["test"]["embeddings"] == other


def test_images_of_another_backbone_are_refused(workspace: Workspace, bundle: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "foreign.npz", embeddings=np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32))
    foreign = verbs.import_vectors(tmp_path / "foreign.npz", "ViT-B-32", "openai", workspace=workspace)
    with pytest.raises(MismatchError):
        verbs.import_bundle(bundle, on=foreign.embeddings, workspace=workspace)


def test_a_changed_file_is_refused(bundle: Path, tmp_path: Path, workspace: Workspace) -> None:
    folder = unpack(io.BytesIO(pack(bundle, "shapes")), tmp_path)
    (folder / "recipe.json").write_text('{"schema": 1, "position": 0, "edits": []}')
    with pytest.raises(CorruptArtifactError, match=r"recipe\.json"):
        verbs.import_bundle(folder, workspace=workspace)


def test_packing_depends_on_contents_alone(bundle: Path) -> None:
    assert pack(bundle, "shapes") == pack(bundle, "shapes")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "a\\b"])
def test_names_that_lead_out_of_the_zip_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="outside"):
        unpack(zipped({name: b"x"}), tmp_path / "into")
    assert not (tmp_path / "evil").exists()


def test_a_link_in_the_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("bundle/link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InvalidInputError, match="link"):
        unpack(buffer, tmp_path)


def test_what_is_no_bundle_is_refused_in_words(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(InvalidInputError, match="no exported bundle"):
        unpack(zipped({"photo.jpg": b"x"}), tmp_path / "a")
    with pytest.raises(InvalidInputError, match=r"not a readable \.zip"):
        unpack(io.BytesIO(b"nonsense"), tmp_path / "b")
    with pytest.raises(InvalidInputError, match="files"):
        unpack(zipped({f"{index}": b"" for index in range(MOST_FILES + 1)}), tmp_path / "c")
    with pytest.raises(NotFoundError, match="does not exist"):
        verbs.import_bundle(tmp_path / "nothing.zip", workspace=workspace)


def test_the_command_line_loads_a_bundle(bundle: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(command_line(), ["load", str(bundle), "--workspace", str(tmp_path / "elsewhere"), "--json"])
    assert result.exit_code == 0, result.output
    record = json.loads(result.output.splitlines()[-1])
    assert Workspace(tmp_path / "elsewhere").get(record["model"]).kind == "model"
