"""A model may be looked at with images that carry no label it knows: a loaded bundle beside pictures of one's own."""

from __future__ import annotations

import numpy as np
import pytest
from planted import OpenApp

from cbm.study.study import Study
from cbm.workspace.workspace import Workspace

PAGES = ("start", "concepts", "concept", "image", "intervene", "compare", "classify", "export")


@pytest.fixture
def unlabelled(own_workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(Study, "labels", property(lambda study: np.full(study.image_count, -1)))
    return own_workspace


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_without_labels(unlabelled: Workspace, open_app: OpenApp, page: str) -> None:
    app = open_app(page, root=unlabelled.root)
    assert not [error.value for error in app.error]


def test_edits_count_changed_predictions_where_nothing_says_what_is_right(unlabelled: Workspace, open_app: OpenApp) -> None:
    app = open_app("intervene", root=unlabelled.root)
    next(one for one in app.selectbox if one.key == "edit_how_activation").select("Ablate").run()
    next(one for one in app.button if one.key == "apply_edit").click().run()
    assert not app.exception
    assert not [error.value for error in app.error]
    assert any("Your edits change the prediction of" in caption.value for caption in app.caption)
