"""The discover page in every state: nothing to discover in, nothing discovered, runs, sweeps, names, and work that lives or failed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import planted
import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm import verbs
from cbm.core.progress import Progress
from cbm.jobs import Job, Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.names.vocabulary import import_vocabulary
from cbm.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def measured(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The planted workspace with three measured dictionaries on the same images, the newest of which is named. Only read it."""
    folder = tmp_path_factory.mktemp("measured")
    shutil.copytree(workspace.root, folder / "workspace")
    home = Workspace(folder / "workspace")
    images = training_images(home)
    for width, k in ((64, 8), (32, 8), (32, 4)):
        found = verbs.discover([images], width=width, k=k, epochs=120, workspace=home, device="cpu")
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(30, planted.DIM)).astype(np.float32)
    np.savez(folder / "words.npz", embeddings=vectors, names=[f"word{number}" for number in range(30)])
    words = import_vocabulary(home, folder / "words.npz", planted.BACKBONE)
    verbs.name(found.dictionary, words.id, workspace=home)
    return home


@pytest.fixture
def own(measured: Workspace, tmp_path: Path) -> Workspace:
    """A copy in which a test may submit jobs."""
    shutil.copytree(measured.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def worker(own: Workspace) -> Iterator[WorkerSign]:
    """The test plays the worker."""
    sign = WorkerSign(Jobs(own).signs)
    yield sign
    sign.close()


def training_images(home: Workspace) -> str:
    return str(json.loads((home.root / "demo.json").read_text())["train"])


def newest(home: Workspace) -> str:
    return home.list("dictionary")[-1].id


def texts(app: AppTest) -> str:
    shown = [*app.markdown, *app.caption, *app.subheader, *app.info, *app.error, *app.warning]
    return "\n".join(str(element.value) for element in shown)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def only_job(home: Workspace) -> Job:
    (job,) = Jobs(home).list()
    return job


def begin(home: Workspace, worker: WorkerSign) -> Job:
    job = only_job(home)
    assert Jobs(home).claim(worker.name)
    return job


# What there is


def test_runs_are_a_gallery_with_pictures_and_figures_and_the_newest_is_open(open_app: OpenApp, measured: Workspace) -> None:
    app = open_app("discover", root=measured.root)
    cards = app.grid(key="discover_gallery")
    assert len(cards.image) == 4
    assert "BatchTopK, 32 concepts, k 4" in [button.label for button in cards.button]
    assert "FVU" in texts(app)
    assert "BatchTopK, 32 concepts, k 4, on 400 images" in [heading.value for heading in app.subheader]
    assert {"Variance explained", "Cosine", "Active per image", "Dead concepts", "Named", "Unnamed"} <= set(metrics(app))
    charts = " ".join(chart.proto.id for chart in app.get("plotly_chart"))
    assert "discover_baselines" in charts
    assert "discover_firing" in charts
    assert "of what distinguishes the images" in texts(app)


def test_the_training_is_shown_on_demand(open_app: OpenApp, measured: Workspace) -> None:
    app = open_app("discover", root=measured.root)
    app.session_state["discover_history"] = True
    app.run()
    assert [chart.proto.id.rpartition("-")[2] for chart in app.get("plotly_chart") if "discover_training" in chart.proto.id] == [
        "0",
        "1",
        "2",
    ]


def test_another_run_opens_by_its_card_and_by_its_address(open_app: OpenApp, measured: Workspace) -> None:
    wanted = measured.list("dictionary")[-3].id
    app = open_app("discover", root=measured.root)
    app.button(key=f"open_run-{wanted}").click().run()
    assert "BatchTopK, 64 concepts, k 8, on 400 images" in [heading.value for heading in app.subheader]
    address = "".join(app.query_params["dictionary"])
    linked = open_app("discover", root=measured.root, dictionary=address)
    assert "BatchTopK, 64 concepts, k 8, on 400 images" in [heading.value for heading in linked.subheader]


def test_an_address_of_an_unknown_run_is_explained_and_shows_another(open_app: OpenApp, measured: Workspace) -> None:
    app = open_app("discover", root=measured.root, dictionary="ffffffff")
    assert "ffffffff" in app.error[0].value
    assert "Variance explained" in metrics(app)


def test_dictionaries_from_elsewhere_are_shown_without_figures(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("discover")
    assert "was not measured here" in texts(app)
    assert len(app.grid(key="discover_gallery").image) == 2


def test_names_are_shown_with_pictures_scores_and_the_way_on(open_app: OpenApp, measured: Workspace) -> None:
    app = open_app("discover", root=measured.root)
    assert int(metrics(app)["Named"]) + int(metrics(app)["Unnamed"]) == 32
    assert app.grid(key="names_concepts").image
    app.segmented_control(key="names_sample").set_value("Best names").run()
    assert "word" in " ".join(text.value for text in app.grid(key="names_concepts").markdown)
    assert "Train a classifier on these concepts" in [link.value for link in app.get("page_link")]


def test_concepts_without_names_offer_to_be_named(open_app: OpenApp, measured: Workspace) -> None:
    wanted = measured.list("dictionary")[-3].id
    app = open_app("discover", root=measured.root, dictionary=wanted)
    assert "no names yet" in texts(app)
    assert not app.button(key=f"name_start-{wanted}").disabled
    assert app.grid(key="names_concepts").image


# What is not there


def test_without_images_the_page_leads_to_the_data_page(open_app: OpenApp, tmp_path: Path) -> None:
    app = open_app("discover", root=tmp_path / "nothing")
    assert app.subheader[0].value == "No images to discover concepts in"
    assert "Bring images" in [link.value for link in app.get("page_link")]


def test_without_runs_the_form_is_there_with_settings_that_suit(open_app: OpenApp, own_workspace: Workspace) -> None:
    keep_only(own_workspace, "embeddings")
    app = open_app("discover", root=own_workspace.root)
    assert "Nothing has been discovered yet" in texts(app)
    assert app.button(key="new_run_start").label == "Discover concepts"


def test_damaged_dictionary_is_explained_and_the_page_stands(open_app: OpenApp, own: Workspace) -> None:
    (own.get(newest(own)).path / "dictionary.safetensors").write_bytes(b"damaged")
    app = open_app("discover", root=own.root)
    assert "is damaged" in texts(app)
    assert "Variance explained" in metrics(app)


def keep_only(home: Workspace, kind: str) -> None:
    for folder in (home.root / "artifacts").iterdir():
        if not folder.name.startswith(kind):
            shutil.rmtree(folder)
    (home.root / "demo.json").unlink()


# Work


def test_a_new_run_is_a_job_whose_result_opens(open_app: OpenApp, own: Workspace, worker: WorkerSign) -> None:
    app = open_app("discover", root=own.root, discover_view="New run")
    app.button(key="new_run_start").click().run()
    job = begin(own, worker)
    assert (job.kind, job.parameters["variant"], job.parameters["embeddings"]) == ("discover", "batchtopk", [training_images(own)])
    assert job.parameters["width"] == 128
    for step in (1, 2, 3):
        Jobs(own).report(job.id, 1, Progress(step, 4, "Training the dictionary", {"fvu": 1 / step, "l0": 8.0, "dead": 0.1}))
    app.run()
    assert "Training the dictionary" in "".join(bar.proto.text for bar in app.get("progress"))
    wanted = own.list("dictionary")[-3].id
    Jobs(own).finish(job.id, 1, "done", result={"dictionary": wanted})
    app.run()
    assert not app.exception
    assert app.segmented_control(key="discover_view").value == "Runs"
    assert "BatchTopK, 64 concepts, k 8, on 400 images" in [heading.value for heading in app.subheader]


def test_a_stopped_run_says_that_its_checkpoint_is_kept_and_goes_on(open_app: OpenApp, own: Workspace, worker: WorkerSign) -> None:
    app = open_app("discover", root=own.root, discover_view="New run")
    app.button(key="new_run_start").click().run()
    job = begin(own, worker)
    app.run()
    app.button(key="discover_job-cancel").click().run()
    assert only_job(own).cancelling
    Jobs(own).finish(job.id, 1, "cancelled")
    app.run()
    assert "only a checkpoint" in texts(app)
    app.button(key="discover_job-retry").click().run()
    assert only_job(own).state == "queued"


def test_a_failed_job_says_why_also_to_another_visitor(open_app: OpenApp, own: Workspace, worker: WorkerSign) -> None:
    identifier = Jobs(own).submit("name", {"dictionary": newest(own), "vocabulary": "english"}, title="Name them")
    Jobs(own).claim(worker.name)
    Jobs(own).finish(identifier, 1, "failed", error="the weights are not here; fetch them")
    assert "the weights are not here; fetch them" in texts(open_app("discover", root=own.root))


def test_settings_that_a_method_ignores_are_not_sent(open_app: OpenApp, own: Workspace) -> None:
    app = open_app("discover", root=own.root, discover_view="New run")
    app.selectbox(key="new_run_variant").select("pca").run()
    app.button(key="new_run_start").click().run()
    assert set(only_job(own).parameters) == {"embeddings", "variant", "k", "seed"}


def test_a_link_brings_its_images_whatever_was_chosen_before(open_app: OpenApp, own: Workspace) -> None:
    app = open_app("discover", root=own.root, discover_view="New run")
    assert app.multiselect(key="new_run_sets").value == [training_images(own)]
    other = next(artifact.id for artifact in own.list("embeddings") if artifact.id != training_images(own))
    short = other.partition("-")[2][:8]
    app.query_params["embeddings"] = short
    app.run()
    assert app.multiselect(key=f"new_run_sets-{short}").value == [other]


def test_sets_of_two_backbones_cannot_be_mixed(open_app: OpenApp, own: Workspace, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 512)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", embeddings=vectors)
    foreign = verbs.import_vectors(tmp_path / "vectors.npz", "ViT-B-32", "openai", workspace=own).embeddings
    app = open_app("discover", root=own.root, discover_view="New run")
    app.multiselect(key="new_run_sets").select(foreign).run()
    assert "different backbones" in app.error[0].value
    assert "new_run_start" not in [button.key for button in app.button]


def test_a_sweep_is_one_job_and_its_points_open_runs(open_app: OpenApp, own: Workspace, worker: WorkerSign) -> None:
    app = open_app("discover", root=own.root, discover_view="Sweep")
    assert len(app.dataframe[0].value) == 3
    app.slider(key="sweep_seeds").set_value(2).run()
    app.button(key="sweep_start").click().run()
    job = begin(own, worker)
    assert (job.kind, job.parameters["seeds"]) == ("sweep", [0, 1])
    runs = [{"dictionary": artifact.id, "stability": 0.71, "width": 32, "k": 4, "seed": 0} for artifact in own.list("dictionary")[-3:]]
    Jobs(own).finish(job.id, 1, "done", result={"runs": runs, "suggested": None})
    app.run()
    assert app.segmented_control(key="discover_view").value == "Sweep"
    assert app.dataframe[0].value["Stability"].tolist() == [0.71] * 3
    point = {"customdata": [own.list("dictionary")[-3].id, ""]}
    app.session_state["sweep_chart"] = {"selection": {"points": [point], "point_indices": [0], "box": [], "lasso": []}}
    app.button(key="sweep_open_suggested").click().run()
    assert "Variance explained" in metrics(app)


def test_naming_is_a_job_whose_names_open(open_app: OpenApp, own: Workspace, worker: WorkerSign) -> None:
    wanted = newest(own)
    app = open_app("discover", root=own.root)
    app.selectbox(key=f"name_rule-{wanted}").select("centred").run()
    app.button(key=f"name_start-{wanted}").click().run()
    job = begin(own, worker)
    assert job.parameters == {"dictionary": wanted, "vocabulary": "scenes", "rule": "centred", "unique": False}
    concepts = own.list("concepts")[-1].id
    Jobs(own).finish(job.id, 1, "done", result={"concepts": concepts})
    app.run()
    assert "".join(app.query_params["concepts"]) in concepts


def test_a_list_of_ones_own_is_kept_and_named_from(open_app: OpenApp, own: Workspace) -> None:
    wanted = newest(own)
    app = open_app("discover", root=own.root)
    labels = app.selectbox(key=f"name_words-{wanted}")
    labels.set_value(next(option for option in labels.options if "my own" in str(option))).run()
    assert app.button(key=f"name_start-{wanted}").disabled
    app.get_by_key(f"name_file-{wanted}").upload("mine.txt", b"red\nblue\n", "text/plain").run()
    app.button(key=f"name_start-{wanted}").click().run()
    kept = Path(str(only_job(own).parameters["vocabulary"]))
    assert kept.read_text() == "red\nblue\n"
    assert kept.is_relative_to(own.uploads)


def test_a_file_that_is_no_list_of_names_is_refused(open_app: OpenApp, own: Workspace) -> None:
    wanted = newest(own)
    app = open_app("discover", root=own.root)
    labels = app.selectbox(key=f"name_words-{wanted}")
    labels.set_value(next(option for option in labels.options if "my own" in str(option))).run()
    app.get_by_key(f"name_file-{wanted}").upload("mine.txt", b"\xff\xfe\x00bad", "text/plain").run()
    app.button(key=f"name_start-{wanted}").click().run()
    assert "mine.txt" in app.error[0].value
    assert not Jobs(own).list()


def test_vectors_without_weights_say_so_and_take_encoded_names(open_app: OpenApp, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    home = Workspace(tmp_path / "foreign")
    np.savez(tmp_path / "vectors.npz", embeddings=generator.normal(size=(60, 512)).astype(np.float32))
    images = verbs.import_vectors(tmp_path / "vectors.npz", "ViT-B-32", "openai", workspace=home).embeddings
    found = verbs.discover([images], width=16, k=4, epochs=2, workspace=home, device="cpu").dictionary
    app = open_app("discover", root=home.root)
    assert "its weights were not imported" in app.info[0].value
    assert app.button(key=f"name_start-{found}").disabled
    choice = app.selectbox(key=f"name_words-{found}")
    choice.set_value("English words").run()
    assert app.button(key=f"name_start-{found}").disabled
    app.checkbox(key=f"name_weights-{found}").check().run()
    app.button(key=f"name_start-{found}").click().run()
    assert only_job(home).parameters["pretrained"] == "openai"
