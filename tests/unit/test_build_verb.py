"""The whole line in one call: what it makes, what it leaves out, and how it resumes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cbm import verbs
from cbm.core.errors import Cancelled, InvalidInputError, MissingWeightsError, NotFoundError
from cbm.core.progress import Progress
from cbm.dictionaries.sizes import sound_size
from cbm.jobs import job_kinds
from cbm.verbs.build import Built
from cbm.workspace.workspace import Workspace

SMALL = "scenes:classes?count=60"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Built, list[Progress]]:
    workspace = Workspace(tmp_path_factory.mktemp("build"))
    heard: list[Progress] = []
    return workspace, verbs.build(SMALL, epochs=60, necs=(5, 10, 500), workspace=workspace, device="cpu", progress=heard.append), heard


def test_one_call_goes_from_images_to_a_model(built: tuple[Workspace, Built, list[Progress]]) -> None:
    workspace, result, _ = built
    kinds = {artifact.kind: artifact.id for artifact in workspace.list()}
    assert kinds == {
        "embeddings": result.embeddings,
        "dictionary": result.dictionary,
        "vocabulary": result.vocabulary,
        "concepts": result.concepts,
        "model": result.model,
    }
    assert (result.images, result.rejected) == (60, 0)
    assert result.trained is not None
    # No class can have more concepts than there are.
    assert [point.nec for point in result.trained.nec_path] == [5, 10]


def test_progress_is_of_the_whole_and_says_which_stage_runs(built: tuple[Workspace, Built, list[Progress]]) -> None:
    heard = built[2]
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert list(dict.fromkeys(progress.message for progress in heard)) == [
        "1 of 5: encoding images",
        "2 of 5: discovering concepts",
        "3 of 5: encoding names",
        "4 of 5: naming concepts",
        "5 of 5: training the classifier",
    ]
    assert any("fvu" in progress.figures for progress in heard if "discovering" in progress.message)


def test_the_same_request_makes_nothing_new(built: tuple[Workspace, Built, list[Progress]]) -> None:
    workspace, result, _ = built
    before = [artifact.id for artifact in workspace.list()]
    again = verbs.build(SMALL, epochs=60, necs=(5, 10, 500), workspace=workspace, device="cpu")
    assert dataclasses.replace(again, notes=()) == dataclasses.replace(result, notes=())
    assert [artifact.id for artifact in workspace.list()] == before


def test_existing_embeddings_and_vocabulary_are_taken(built: tuple[Workspace, Built, list[Progress]]) -> None:
    workspace, result, _ = built
    heard: list[Progress] = []
    again = verbs.build(
        result.embeddings, vocabulary=result.vocabulary, epochs=60, necs=(5,), workspace=workspace, device="cpu", progress=heard.append
    )
    assert (again.dictionary, again.concepts) == (result.dictionary, result.concepts)
    assert heard[0].message == "1 of 4: discovering concepts"
    with pytest.raises(NotFoundError, match="ffff"):
        verbs.build("embeddings-ffff", workspace=workspace)


def test_stopped_between_stages_keeps_what_was_finished(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    seen: list[str] = []
    with pytest.raises(Cancelled):
        verbs.build(
            SMALL,
            epochs=60,
            workspace=workspace,
            device="cpu",
            progress=lambda progress: seen.append(progress.message),
            cancelled=lambda: seen[-1:] == ["3 of 5: encoding names"],
        )
    assert [artifact.kind for artifact in workspace.list()] == ["embeddings", "dictionary"]
    assert verbs.build(SMALL, epochs=60, necs=(5,), workspace=workspace, device="cpu").model is not None


def test_naming_takes_a_list_of_names_and_encodes_it(built: tuple[Workspace, Built, list[Progress]], tmp_path: Path) -> None:
    workspace, result, _ = built
    (tmp_path / "mine.txt").write_text("red\ngreen\na big star\n")
    heard: list[Progress] = []
    named = verbs.name(result.dictionary, str(tmp_path / "mine.txt"), workspace=workspace, device="cpu", progress=heard.append)
    words = workspace.get(workspace.get(named.concepts).parents[1], "vocabulary")
    assert words.metrics["count"] == 3
    assert list(dict.fromkeys(progress.message for progress in heard)) == ["1 of 2: encoding names", "2 of 2: naming concepts"]
    with pytest.raises(Cancelled):
        verbs.name(result.dictionary, result.vocabulary, rule="cosine", workspace=workspace, cancelled=lambda: True)
    assert named.concepts != result.concepts


def test_images_without_labels_end_with_named_concepts(tmp_path: Path) -> None:
    result = verbs.build("scenes:free?count=30", epochs=40, workspace=tmp_path, device="cpu")
    assert result.model is None
    assert result.trained is None
    assert result.named.concepts == result.concepts
    assert "no labels" in result.notes[-1]


@pytest.mark.parametrize(("folders", "reason"), [(1, "all have the same class"), (20, "Too few images per class")])
def test_labels_that_no_classifier_can_be_tested_on_end_with_named_concepts(folders: int, reason: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for number in range(20):
        folder = tmp_path / "pictures" / f"class {number % folders}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    result = verbs.build(str(tmp_path / "pictures"), epochs=5, workspace=tmp_path / "workspace", device="cpu")
    assert result.model is None
    assert reason in result.notes[-1]


def test_too_few_images_are_refused_with_what_is_needed(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (16, 16), (40 * number, 90, 200)).save(tmp_path / f"{number}.png")
    with pytest.raises(InvalidInputError, match=r"3 images are too few.*at least 20"):
        verbs.build(str(tmp_path), workspace=tmp_path / "workspace", device="cpu")


def test_vectors_without_weights_need_encoded_names(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 512)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", embeddings=vectors, labels=np.arange(60) % 2)
    np.savez(tmp_path / "names.npz", embeddings=generator.normal(size=(9, 512)).astype(np.float32), names=np.array(list("abcdefghi")))
    (tmp_path / "classes.txt").write_text("left\nright\n")
    home = tmp_path / "workspace"
    imported = verbs.import_vectors(
        tmp_path / "vectors.npz", "ViT-B-32", "openai", classes=tmp_path / "classes.txt", workspace=home
    ).embeddings
    with pytest.raises(MissingWeightsError, match=r"\.npz"):
        verbs.build(imported, epochs=5, workspace=home, device="cpu")
    result = verbs.build(imported, vocabulary=str(tmp_path / "names.npz"), epochs=5, necs=(5,), workspace=home, device="cpu")
    assert result.model is not None


@pytest.mark.parametrize(
    ("images", "dim", "width", "k"),
    [(20, 128, 32, 8), (60, 512, 32, 8), (300, 128, 64, 8), (4114, 512, 1024, 32), (10**6, 512, 4096, 32), (10**6, 64, 512, 4)],
)
def test_default_sizes_grow_with_the_images_up_to_what_the_dimension_holds(images: int, dim: int, width: int, k: int) -> None:
    size = sound_size(images, dim)
    assert (size.width, size.k) == (width, k)


def test_the_line_and_sweeps_may_run_as_jobs() -> None:
    assert {"build", "sweep"} <= set(job_kinds())
