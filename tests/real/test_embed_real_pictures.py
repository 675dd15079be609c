"""Real photographs and real CLIP vectors through the embedding store and the importer."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import cbm  # noqa: F401  (installs the torchvision hook before open_clip is imported)
from cbm.backbones.architectures import find_architecture
from cbm.backbones.backbone import Backbone
from cbm.backbones.reference import BackboneReference
from cbm.backbones.towers import build_model
from cbm.core.errors import MismatchError
from cbm.embeddings.encode import embed_source
from cbm.embeddings.imports import import_vectors
from cbm.embeddings.search import Searcher
from cbm.embeddings.sets import EmbeddingSet
from cbm.images.pictures import read_picture
from cbm.images.sources import open_source
from cbm.workspace.workspace import Workspace

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = tmp_path_factory.mktemp("small")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generator = torch.Generator().manual_seed(0)
    model = build_model(find_architecture(str(folder)), allow_network=False)
    state = {name: torch.randn(tensor.shape, generator=generator) * 0.1 + 0.01 for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    return Backbone(str(folder), device="cpu")


def test_a_folder_of_photographs_embeds_with_its_classes_and_is_found_again(clip_data: Path, tmp_path: Path, backbone: Backbone) -> None:
    workspace = Workspace(tmp_path)
    folder = clip_data / "images" / "dtd_10classes_224"
    result = embed_source(workspace, folder, backbone)
    loaded = EmbeddingSet.load(result.artifact)
    assert (result.count, len(loaded.classes), result.rejected) == (len(open_source(folder)), 10, ())
    assert loaded.labelled.all()
    assert all(item.startswith(loaded.classes[label]) for item, label in zip(loaded.items["item"], loaded.labels, strict=True))
    assert embed_source(workspace, folder, backbone).cached
    row = 123
    picture = read_picture(loaded.items["uri"].iloc[row])
    found = Searcher.open(workspace, loaded).by_image(picture, backbone, k=3)
    assert found.rows[0, 0] == row
    assert found.scores[0, 0] == pytest.approx(1, abs=1e-3)


def test_published_vectors_join_their_pictures_and_neighbours_share_the_class(clip_data: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = clip_data / "vitb32" / "caltech101"
    artifact = import_vectors(
        workspace,
        folder / "test.npz",
        BackboneReference.foreign("ViT-B-32", "openai"),
        images=clip_data / "images" / "caltech101",
        classes=folder / "classes.json",
        split="test",
    )
    loaded = EmbeddingSet.load(artifact)
    assert (len(loaded), loaded.dim, loaded.space, len(loaded.classes)) == (2465, 512, "l2", 100)
    assert artifact.metrics["pictures"] == 2465
    assert all(read_picture(uri, size=64).mode == "RGB" for uri in islice(loaded.items["uri"], 0, None, 500))
    searcher = Searcher.open(workspace, loaded)
    rows = range(0, 2465, 25)
    same = [loaded.labels[searcher.by_item(row, 1).rows[0, 0]] == loaded.labels[row] for row in rows]
    assert np.mean(same) > 0.85
    with pytest.raises(MismatchError, match="1024"):
        import_vectors(workspace, clip_data / "rn50" / "caltech101" / "train.npz", BackboneReference.foreign("ViT-B-32", "openai"))
