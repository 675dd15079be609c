"""Many dictionaries in one call: which are trained, what is compared, and what a stop leaves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cbm import verbs
from cbm.core.errors import Cancelled, InvalidInputError
from cbm.core.progress import Progress
from cbm.verbs.sweep import SweepRun, stability, suggest
from cbm.workspace.workspace import Workspace

GRID = {"widths": (32, 16), "ks": (4, 8), "seeds": (1, 0), "epochs": 3}


@pytest.fixture
def images(tmp_path: Path) -> tuple[Workspace, str]:
    generator = np.random.default_rng(0)
    directions = np.linalg.qr(generator.normal(size=(128, 128)))[0][:12]
    vectors = (generator.random((400, 12)) < 0.25) * generator.gamma(8, 1 / 8, (400, 12)) @ directions
    np.savez(tmp_path / "vectors.npz", embeddings=(vectors + generator.normal(0, 0.02, vectors.shape)).astype(np.float32))
    workspace = Workspace(tmp_path / "workspace")
    return workspace, verbs.import_vectors(tmp_path / "vectors.npz", "demo", "demo", workspace=workspace).embeddings


def test_every_combination_is_trained_and_compared(images: tuple[Workspace, str]) -> None:
    workspace, embeddings = images
    heard: list[Progress] = []
    result = verbs.sweep([embeddings], **GRID, workspace=workspace, device="cpu", progress=heard.append)
    assert [(run.width, run.k, run.seed) for run in result.runs] == [(w, k, s) for w in (16, 32) for k in (4, 8) for s in (0, 1)]
    assert {run.dictionary for run in result.runs} == {artifact.id for artifact in workspace.list("dictionary")}
    assert all(run.stability is not None and 0 < run.stability <= 1.0001 for run in result.runs)
    assert result.suggested in {run.dictionary for run in result.runs}
    assert heard[0].message == "1 of 8: width 16, k 4, seed 0"
    assert heard[-1].fraction == 1.0


def test_dictionaries_that_exist_are_not_trained_again(images: tuple[Workspace, str]) -> None:
    workspace, embeddings = images
    single = verbs.discover([embeddings], width=16, k=4, epochs=3, seed=0, workspace=workspace, device="cpu")
    created = workspace.get(single.dictionary).created
    result = verbs.sweep([embeddings], **GRID, workspace=workspace, device="cpu")
    assert result.runs[0].dictionary == single.dictionary
    assert workspace.get(single.dictionary).created == created


def test_a_stopped_sweep_keeps_what_is_finished(images: tuple[Workspace, str]) -> None:
    workspace, embeddings = images
    seen: list[str] = []
    with pytest.raises(Cancelled):
        verbs.sweep(
            [embeddings],
            **GRID,
            workspace=workspace,
            device="cpu",
            progress=lambda progress: seen.append(progress.message),
            cancelled=lambda: bool(seen) and seen[-1].startswith("4 of 8"),
        )
    assert len(workspace.list("dictionary")) == 3


def test_a_training_that_had_ended_is_not_run_again_after_a_stop(images: tuple[Workspace, str]) -> None:
    workspace, embeddings = images

    def stop_while_comparing(progress: Progress) -> None:
        if progress.message == "Comparing with simpler methods":
            raise KeyboardInterrupt

    request = {"width": 16, "k": 4, "epochs": 60, "device": "cpu"}
    elsewhere = Workspace(workspace.root.parent / "elsewhere")
    shutil.copytree(workspace.root, elsewhere.root)
    with pytest.raises(KeyboardInterrupt):
        verbs.discover([embeddings], **request, workspace=workspace, progress=stop_while_comparing)
    assert not workspace.list("dictionary")
    heard: list[Progress] = []
    resumed = verbs.discover([embeddings], **request, workspace=workspace, progress=heard.append)
    assert [progress.message for progress in heard] == ["Comparing with simpler methods"]
    fresh = verbs.discover([embeddings], **request, workspace=elsewhere)
    assert (resumed.dictionary, resumed.fvu, resumed.l0) == (fresh.dictionary, fresh.fvu, fresh.l0)
    assert not list((workspace.root / "checkpoints").glob("*"))


def test_one_seed_says_nothing_about_stability(images: tuple[Workspace, str]) -> None:
    result = verbs.sweep([images[1]], widths=(16,), ks=(4,), epochs=3, workspace=images[0], device="cpu")
    assert [run.stability for run in result.runs] == [None]


@pytest.mark.parametrize("grid", [{"widths": (4,), "ks": (8,)}, {"widths": (), "ks": (4,)}, {"widths": range(8, 200), "ks": (4,)}])
def test_sweeps_of_nothing_or_of_too_much_are_refused(images: tuple[Workspace, str], grid: dict) -> None:
    with pytest.raises(InvalidInputError, match="dictionaries were asked for"):
        verbs.sweep([images[1]], **grid, workspace=images[0])


def test_stability_is_the_weighted_cosine_of_the_nearest_direction() -> None:
    first = np.eye(3, dtype=np.float32)
    turned = np.array([[0, 1, 0], [0.6, 0, 0.8]], np.float32)
    assert stability(first, first[::-1], np.ones(3)) == pytest.approx(1.0)
    assert stability(first, turned, np.array([1.0, 2.0, 0.0])) == pytest.approx((0.6 + 2 * 1.0) / 3)
    assert stability(first, turned, np.zeros(3)) == 0.0


def test_suggestion_is_the_sparsest_and_narrowest_of_the_nearly_best() -> None:
    def run(name: str, width: int, k: int, fvu: float) -> SweepRun:
        return SweepRun(name, width, k, 0, fvu, 0.9, float(k), 0.0, None, 1.0)

    runs = [run("best", 512, 32, 0.10), run("near", 256, 16, 0.115), run("wide", 512, 16, 0.11), run("far", 64, 4, 0.4)]
    assert suggest(runs) == "near"
    assert suggest([]) is None
