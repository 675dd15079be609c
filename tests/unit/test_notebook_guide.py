"""The code of docs/notebook.md runs, in its order, on the demo's smallest workspace."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cbm.study.study import Study
from cbm.workspace.workspace import Workspace

GUIDE = Path(__file__).parents[2] / "docs" / "notebook.md"


def test_the_guide_runs(built_demo: tuple[Workspace, Any], capsys: pytest.CaptureFixture[str]) -> None:
    workspace, result = built_demo
    names: dict[str, Any] = {"model": result.model, "workspace": workspace.root}
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), names)
    prediction, study = names["prediction"], names["study"]
    assert prediction.bias + sum(entry.contribution for entry in prediction.contributions) == pytest.approx(prediction.logit, abs=1e-5)
    assert f"{study.accuracy:.1%} on" in capsys.readouterr().out
    assert names["heart"].top_images(1)[0].activation == study.columns[:, names["heart"].fired.members].sum(axis=1).max()


def test_a_bundle_is_studied_like_the_model_it_came_from(built_demo: tuple[Workspace, Any]) -> None:
    workspace, result = built_demo
    stored, bundle = (Study.open(model, workspace=workspace) for model in (result.model, result.bundle))
    assert bundle.accuracy == stored.accuracy
    assert bundle.items == stored.items
    short = Study.open(result.model[:14], workspace=workspace, on=result.embeddings)
    assert short.image_count == len(short.held_out)
