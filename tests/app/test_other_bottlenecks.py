"""The pages on models whose bottleneck is no sparse autoencoder: nothing that can be had is missing, nothing that cannot be had fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import planted
import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.dictionaries.base import Dictionary
from cbm.dictionaries.clusters import KMeansDictionary
from cbm.dictionaries.linear import PcaDictionary
from cbm.images.scenes import CONCEPTS
from cbm.workspace.workspace import Workspace

TWIN = len(CONCEPTS)
"""A spare concept whose direction is nearly that of concept 3."""


def dictionary_of(kind: str, basis: np.ndarray) -> Dictionary:
    directions = basis.copy()
    directions[TWIN] = directions[3] + 0.1 * directions[TWIN]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    mean = np.zeros(planted.DIM, np.float32)
    return PcaDictionary(directions, mean, 8) if kind == "pca" else KMeansDictionary(2 * directions, mean)


@pytest.fixture(scope="module", params=["pca", "kmeans"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp(request.param) / "workspace")
    generator = np.random.default_rng(0)
    basis = np.linalg.qr(generator.normal(size=(planted.DIM, planted.DIM)))[0].astype(np.float32)[: len(CONCEPTS) + planted.SPARE]
    entry = planted._task(workspace, "classes", dictionary_of(request.param, basis), basis, generator)
    (workspace.root / "demo.json").write_text(json.dumps(entry | {"shortcut": {}}))
    return workspace.root


def texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*app.markdown, *app.caption, *app.subheader])


@pytest.mark.parametrize("page", ["classify", "concepts", "image", "intervene", "compare"])
def test_pages_open_without_an_error(open_app: OpenApp, root: Path, page: str) -> None:
    assert not open_app(page, root=root).error


def test_concepts_that_point_the_same_way_are_found(open_app: OpenApp, root: Path) -> None:
    app = open_app("concept", root=root, concept=TWIN)
    assert any("near-duplicate" in caption.value for caption in app.caption)
    assert CONCEPTS[3].name in [link.value for link in app.get("page_link")]


def test_map_and_duplicates_are_there(open_app: OpenApp, root: Path) -> None:
    assert "no map" not in texts(open_app("concepts", root=root, concepts_view="Merges"))
    # The map is made by now, and with it the pairs of near directions.
    app = open_app("concepts", root=root, concepts_view="Map", concepts_show="duplicate")
    assert "no map" not in texts(app)
    assert sorted(link.value for link in app.grid(key="concepts").page_link) == [f"**{CONCEPTS[3].name}**", f":gray[*unnamed {TWIN}*]"]
