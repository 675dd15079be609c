"""The data page in every state: image sets and search, new images, foreign vectors, wrong files, jobs, modes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ButtonGroup

from cbm import verbs
from cbm.core.progress import Progress
from cbm.embeddings.sets import EmbeddingSet
from cbm.images.scenes import Scenes
from cbm.jobs import Jobs
from cbm.jobs.liveness import WorkerSign
from cbm.ui.access.limits import LOCAL
from cbm.workspace.workspace import Workspace

ADD, IMPORT = "Add images", "Import vectors"


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Real embeddings of the demo backbone: scenes with classes and known concepts, and a folder of which one file was rejected."""
    folder = tmp_path_factory.mktemp("encoded")
    workspace = Workspace(folder / "workspace")
    (folder / "pictures").mkdir()
    for number, scene in enumerate(Scenes("free", 4, 1, "train")):
        scene.draw(64).save(folder / "pictures" / f"{number}.png")
    (folder / "pictures" / "words.jpg").write_text("words, not pixels")
    verbs.embed(folder / "pictures", workspace=workspace, device="cpu")
    verbs.embed("scenes:classes?count=80&seed=3&split=train", workspace=workspace, device="cpu")
    return workspace


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return tmp_path / "fresh"


def shown(app: AppTest) -> str:
    """All that can be read on the page."""
    boxes = (app.title, app.subheader, app.markdown, app.caption, app.error, app.warning, app.info)
    return "\n".join(element.value for box in boxes for element in box)


def asked(app: AppTest, parameter: str) -> str:
    """What the URL says."""
    return "".join(app.query_params[parameter])


def choose(app: AppTest, key: str, option: str) -> None:
    """Press one of several buttons that stand side by side."""
    buttons = app.get_by_key(key)
    assert isinstance(buttons, ButtonGroup)
    buttons.set_value(option).run()


def offered(app: AppTest, key: str) -> list[str]:
    buttons = app.get_by_key(key)
    assert isinstance(buttons, ButtonGroup)
    return list(buttons.options)


def packed(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def scenes_zip(count: int = 20) -> bytes:
    members = {}
    scenes = Scenes("classes", count, 7, "train")
    for number, scene in enumerate(scenes):
        buffer = io.BytesIO()
        scene.draw(64).save(buffer, "PNG")
        members[f"scenes/{scenes.class_names[scene.label]}/{number}.png"] = buffer.getvalue()
    return packed(members)


def upload(app: AppTest, name: str, data: bytes) -> AppTest:
    app.file_uploader[0].set_value([(name, data, "application/octet-stream")])
    app.run()
    assert not app.exception, app.exception
    return app


def npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def vectors(width: int = 512) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(12, width)).astype(np.float32)


def set_named(workspace: Workspace, part: str) -> EmbeddingSet:
    return next(found for found in map(EmbeddingSet.load, workspace.list("embeddings")) if part in found.name)


# Image sets


def test_first_paint_is_a_gallery_with_one_set_opened(open_app: OpenApp, workspace: Workspace) -> None:
    app = open_app("data")
    assert len(app.grid(key="data_sets").image) == len(workspace.list("embeddings")) == 4
    assert {metric.label for metric in app.metric} == {"Images", "Classes", "Backbone", "Rejected"}
    pictures = app.grid(key="data_pictures").image
    assert len(pictures) == 24
    assert all(picture.alt for image in app.image for picture in image.proto.imgs)
    assert not app.error


def test_permalink_opens_its_set(open_app: OpenApp, encoded: Workspace) -> None:
    wanted = set_named(encoded, "pictures")
    app = open_app("data", encoded.root, embeddings=wanted.id.partition("-")[2][:8])
    assert "pictures" in [element.value for element in app.subheader]
    assert len(app.grid(key="data_pictures").image) == 4


def test_address_of_an_unknown_set_is_explained_and_the_others_stay(open_app: OpenApp) -> None:
    app = open_app("data", embeddings="ffffffff")
    assert "ffffffff" in app.error[0].value
    assert app.grid(key="data_sets").image


def test_damaged_set_does_not_hide_the_others(open_app: OpenApp, own_workspace: Workspace) -> None:
    broken = own_workspace.list("embeddings")[0]
    (broken.path / "items.parquet").write_bytes(b"nonsense")
    app = open_app("data", own_workspace.root)
    assert broken.id in app.error[0].value
    assert len(app.grid(key="data_sets").image) == 3


def test_classes_filter_the_pictures_and_the_choice_is_part_of_the_address(open_app: OpenApp) -> None:
    app = open_app("data")
    classes = app.selectbox(key="data_class")
    assert classes.options[0] == "All classes"
    classes.select_index(1).run()
    alts = [picture.alt for image in app.grid(key="data_pictures").image for picture in image.proto.imgs]
    name = str(app.selectbox(key="data_class").value)
    assert all(alt.endswith(f"class {name}") for alt in alts)
    again = open_app("data", data_class=name)
    assert [picture.alt for image in again.grid(key="data_pictures").image for picture in image.proto.imgs] == alts


def test_like_this_one_shows_neighbours_and_is_a_permalink(open_app: OpenApp, encoded: Workspace) -> None:
    scenes = set_named(encoded, "scenes")
    app = open_app("data", encoded.root, embeddings=scenes.id)
    first = next(button for button in app.button if str(button.key).startswith("data_like-"))
    row = str(first.key).partition("-")[2]
    first.click().run()
    assert "Nearest to" in shown(app)
    assert asked(app, "like") == row
    titles = [button.label for button in app.button if str(button.key).startswith("data_like-")]
    scores = [float(title.split(" ")[0].replace("\\", "")) for title in titles]
    assert scores == sorted(scores, reverse=True)
    again = open_app("data", encoded.root, embeddings=scenes.id, like=row)
    assert [button.label for button in again.button if str(button.key).startswith("data_like-")] == titles
    again.button(key="data_clear").click().run()
    assert "Nearest to" not in shown(again)
    assert "like" not in again.query_params


def test_address_of_a_row_that_does_not_exist_is_explained(open_app: OpenApp) -> None:
    for row in ("999999", "nonsense"):
        assert "does not have" in open_app("data", like=row).error[0].value


def test_search_by_words_finds_what_they_say(open_app: OpenApp, encoded: Workspace) -> None:
    scenes = set_named(encoded, "scenes")
    app = open_app("data", encoded.root, embeddings=scenes.id)
    app.text_input(key="data_search").set_value("striped").run()
    assert "Nearest to “striped”" in shown(app)
    rows = [int(str(button.key).partition("-")[2]) for button in app.button if str(button.key).startswith("data_like-")]
    striped = scenes.truth[:, scenes.concept_names.index("striped")]
    assert striped[rows[:8]].mean() > 2 * striped.mean()
    restored = open_app("data", encoded.root, embeddings=scenes.id, data_search="striped")
    assert [int(str(b.key).partition("-")[2]) for b in restored.button if str(b.key).startswith("data_like-")] == rows


def test_search_by_picture_finds_its_twin(open_app: OpenApp, encoded: Workspace, tmp_path: Path) -> None:
    pictures = set_named(encoded, "pictures")
    app = open_app("data", encoded.root, embeddings=pictures.id)
    upload(app, "mine.png", Path(str(pictures.items["uri"].iloc[2])).read_bytes())
    assert r"Nearest to mine\.png".replace("\\.", ".") in shown(app).replace("\\", "")
    first = next(button for button in app.button if str(button.key).startswith("data_like-"))
    assert first.key == "data_like-2"
    assert first.label.replace("\\", "").startswith("1.00")
    upload(app, "text.jpg", b"words, not pixels")
    assert "text.jpg cannot be used" in app.error[0].value


def test_search_says_kindly_that_the_weights_are_missing(open_app: OpenApp, fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "v.npz").write_bytes(npz(embeddings=vectors()))
    verbs.import_vectors(tmp_path / "v.npz", "ViT-B-32", "openai", workspace=fresh)
    app = open_app("data", fresh)
    assert app.text_input(key="data_search").disabled
    assert "weights of ViT-B-32 · openai are not on this machine" in shown(app).replace("\\", "")
    assert "No labels" in shown(app)
    next(button for button in app.button if str(button.key).startswith("data_like-")).click().run()
    assert "Nearest to" in shown(app)
    assert not app.error


def test_weights_that_did_not_make_the_set_are_refused_in_words(open_app: OpenApp) -> None:
    app = open_app("data", data_search="red")
    assert "Different backbones" in app.error[0].value


def test_rejected_files_are_listed_with_reasons(open_app: OpenApp, encoded: Workspace) -> None:
    app = open_app("data", encoded.root, embeddings=set_named(encoded, "pictures").id)
    assert next(metric.value for metric in app.metric if metric.label == "Rejected") == "1"
    assert "words.jpg**: it is not a recognised picture format" in shown(app).replace("\\", "")
    assert app.get("download_button")


def test_known_concepts_of_the_table_are_shown(open_app: OpenApp, encoded: Workspace) -> None:
    app = open_app("data", encoded.root, embeddings=set_named(encoded, "scenes").id)
    classes, concepts = (element.value for element in app.dataframe)
    assert len(classes) == 10
    assert "striped" in list(concepts["Concept"])


# New images


def test_empty_workspace_teaches_and_leads_on(open_app: OpenApp, fresh: Path) -> None:
    app = open_app("data", fresh)
    assert "No images yet" in shown(app)
    app.button(key="data_go_images").click().run()
    assert asked(app, "data_view") == ADD
    assert "Folders become classes" in shown(app)


def test_upload_is_previewed_and_becomes_a_job(open_app: OpenApp, fresh: Path, no_workers: list[str]) -> None:
    data = scenes_zip()
    app = upload(open_app("data", fresh, data_view=ADD), "scenes.zip", data)
    assert "20 images · 10 classes" in shown(app)
    assert len(app.grid(key="data_preview").image) == 12
    assert "measured on 8 of them just now" in shown(app)
    app.button(key="data_encode").click().run()
    assert not app.exception
    (job,) = Jobs(Workspace(fresh)).list()
    assert job.kind == "embed"
    assert job.title == "Encode 20 images of scenes.zip"
    assert job.parameters["backbone"] == "demo"
    assert Path(str(job.parameters["source"])).read_bytes() == data
    assert Path(str(job.parameters["source"])).is_relative_to(fresh / "uploads")
    assert asked(app, "job") == job.id
    assert no_workers
    assert "The first image set is being created" in shown(app)


def test_folder_of_this_machine_is_previewed_with_what_will_be_rejected(open_app: OpenApp, encoded: Workspace, fresh: Path) -> None:
    app = open_app("data", fresh, data_view=ADD)
    choose(app, "data_way", "Folder on this machine")
    folder = Path(str(set_named(encoded, "pictures").items["uri"].iloc[0])).parent
    app.text_input(key="data_path").set_value(str(folder)).run()
    assert "4 images" in shown(app)
    assert "words.jpg" in shown(app)
    assert "No labels were found" in shown(app)
    app.text_input(key="data_path").set_value("/no/such/folder").run()
    assert "/no/such/folder does not exist" in app.error[0].value


def test_earlier_runs_say_how_long_it_takes(open_app: OpenApp, fresh: Path) -> None:
    jobs = Jobs(Workspace(fresh))
    sign = WorkerSign(jobs.signs)
    identifier = jobs.submit("embed", {"source": "/x", "backbone": "demo"}, title="earlier")
    assert jobs.claim(sign.name)
    result = {"embeddings": "embeddings-0", "count": 100, "reused": 0, "rejected": 0, "images_per_second": 10.0, "notes": []}
    jobs.finish(identifier, 1, "done", result=result)
    app = open_app("data", fresh, data_view=ADD)
    choose(app, "data_way", "Example scenes")
    assert "400 images: **about 40 seconds**" in shown(app)
    assert "10 images per second in an earlier run" in shown(app)
    sign.close()


def test_listed_backbone_tells_size_training_and_licence_before_it_is_fetched(open_app: OpenApp, fresh: Path) -> None:
    app = open_app("data", fresh, data_view=ADD)
    choose(app, "data_way", "Example scenes")
    choose(app, "data_backbone_kind", "open_clip's list")
    choice = app.selectbox(key="data_backbone")
    assert len(choice.options) > 150
    choice.select(next(option for option in choice.options if option.startswith("ViT-B-32 · metaclip_400m"))).run()
    text = shown(app).replace("\\", "")
    assert "151 million parameters" in text
    assert "MetaCLIP-400M" in text
    assert "CC BY-NC 4.0 (says timm's configuration of the same weights)" in text
    assert "to be downloaded once" in text
    assert "cannot be estimated before the weights are here" in text


def test_plain_architecture_for_a_file_of_openai_is_warned_about(open_app: OpenApp, fresh: Path, tmp_path: Path) -> None:
    file = tmp_path / "openai.safetensors"
    file.write_bytes(b"")
    app = open_app("data", fresh, data_view=ADD)
    choose(app, "data_way", "Example scenes")
    choose(app, "data_backbone_kind", "A checkpoint file")
    app.selectbox(key="data_file_architecture").select("ViT-B-32").run()
    app.text_input(key="data_file_checkpoint").set_value(str(file)).run()
    assert "choose ViT-B-32-quickgelu" in app.warning[0].value.replace("\\", "")
    app.button(key="data_measure").click().run()
    assert "openai.safetensors" in app.error[0].value
    app.text_input(key="data_file_checkpoint").set_value("/no/such.safetensors").run()
    assert "There is no file" in app.error[0].value


WRONG_IMAGES = {
    "text called jpg": ("a.jpg", b"words, not pixels", "None of these files is a readable picture"),
    "broken zip": ("a.zip", b"PK\x03\x04 broken", "a.zip is not a readable zip"),
    "empty zip": ("a.zip", packed({}), "a.zip holds no pictures"),
    "table alone": ("a.csv", b"path,label\na.png,cat\n", "together with them"),
    "name that climbs": ("../../a.png", b"words", "points outside the upload"),
    "a program": ("a.exe", b"MZ", "None of these files is a readable picture"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_wrong_images_get_a_clear_message(open_app: OpenApp, fresh: Path, case: str) -> None:
    name, data, words = WRONG_IMAGES[case]
    app = upload(open_app("data", fresh, data_view=ADD), name, data)
    assert words in app.error[0].value
    assert str(fresh) not in shown(app)
    assert not [button for button in app.button if button.key == "data_encode"]


def test_zip_bomb_and_huge_file_get_a_clear_message(open_app: OpenApp, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"\0" * (48 * 2**20))
    app = upload(open_app("data", fresh, data_view=ADD), "bomb.zip", buffer.getvalue())
    assert "decompression bomb" in app.error[0].value
    monkeypatch.setattr("cbm.ui.access.modes.limits", lambda: replace(LOCAL, max_upload_bytes=2_000_000))
    app = upload(open_app("data", fresh, data_view=ADD), "huge.zip", bytes(3_000_000))
    assert "a file may have 2 MB here" in app.error[0].value


# Foreign vectors


def test_vectors_are_declared_and_become_a_job(open_app: OpenApp, fresh: Path) -> None:
    app = upload(open_app("data", fresh, data_view=IMPORT), "v.npz", npz(embeddings=vectors(), labels=np.arange(12) % 3))
    assert "12 vectors · 512 numbers each" in shown(app)
    assert "The labels are numbers" in shown(app)
    architecture = app.selectbox(key="data_vectors_architecture-512")
    assert "ViT-B-32" in architecture.options
    assert "ViT-L-14" not in architecture.options
    architecture.select("ViT-B-32").run()
    app.selectbox(key="data_vectors_tag-ViT-B-32").select("openai").run()
    app.button(key="data_import").click().run()
    (job,) = Jobs(Workspace(fresh)).list()
    assert job.kind == "import_vectors"
    assert {name: job.parameters[name] for name in ("backbone", "pretrained")} == {"backbone": "ViT-B-32", "pretrained": "openai"}
    assert verbs.import_vectors(**job.parameters, workspace=fresh).count == 12


WRONG_VECTORS = {
    "no embeddings": (npz(vectors=vectors()), "lacks the array `embeddings`"),
    "pickled": (npz(embeddings=np.array([{}, {}], dtype=object)), "pickled Python objects"),
    "no npz": (b"words", "cannot be read"),
    "wrong width": (npz(embeddings=vectors(333)), "No architecture of open_clip makes vectors of width 333"),
    "not floats": (npz(embeddings=np.zeros((3, 512), np.int64)), "non-empty float matrix"),
}


@pytest.mark.parametrize("case", WRONG_VECTORS)
def test_wrong_vectors_get_a_clear_message(open_app: OpenApp, fresh: Path, case: str) -> None:
    data, words = WRONG_VECTORS[case]
    app = upload(open_app("data", fresh, data_view=IMPORT), "v.npz", data)
    assert words in app.error[0].value
    assert str(fresh) not in shown(app)
    assert not [button for button in app.button if button.key == "data_import"]


# Jobs


def test_running_job_is_shown_with_what_was_rejected_so_far(open_app: OpenApp, own_workspace: Workspace) -> None:
    jobs = Jobs(own_workspace)
    sign = WorkerSign(jobs.signs)
    identifier = jobs.submit("embed", {"source": "/x", "backbone": "demo"}, title="Encode the birds")
    assert jobs.claim(sign.name)
    figures = {"images_per_second": 12.0, "rejected": 2.0}
    jobs.report(identifier, 1, Progress(10, 40, "Embedding birds; 2 rejected, the last one a.jpg: it is empty", figures))
    app = open_app("data", own_workspace.root)
    assert any("a.jpg: it is empty" in bar.text.replace("\\", "") for bar in app.progress)
    assert app.button(key="data_job-cancel")
    assert app.grid(key="data_sets").image, "the sets stay in sight"
    sign.close()


def test_finished_job_opens_what_it_made(open_app: OpenApp, encoded: Workspace, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(encoded.root, tmp_path / "copy")
    jobs = Jobs(Workspace(tmp_path / "copy"))
    sign = WorkerSign(jobs.signs)
    identifier = jobs.submit("embed", {"source": "/x", "backbone": "demo"}, title="Encode the pictures")
    assert jobs.claim(sign.name)
    app = open_app("data", tmp_path / "copy", job=identifier, data_view=ADD)
    made = set_named(encoded, "pictures").id
    result = {"embeddings": made, "count": 4, "reused": 1, "rejected": 1, "images_per_second": 12.0, "notes": []}
    jobs.finish(identifier, 1, "done", result=result)
    sign.close()
    app.run()
    assert asked(app, "embeddings") == made.partition("-")[2][:8]
    assert "pictures" in [element.value for element in app.subheader]
    assert "1 file rejected, listed below with the reasons" in shown(app)
    assert "1 of them encoded before" in shown(app)


def test_failed_job_says_why(open_app: OpenApp, own_workspace: Workspace) -> None:
    jobs = Jobs(own_workspace)
    sign = WorkerSign(jobs.signs)
    identifier = jobs.submit("embed", {"source": "/x", "backbone": "demo"}, title="Encode the birds")
    assert jobs.claim(sign.name)
    jobs.finish(identifier, 1, "failed", error="/x does not exist. Give a folder of images.")
    app = open_app("data", own_workspace.root, job=identifier)
    assert "does not exist" in app.error[0].value
    assert app.button(key="data_job-retry")
    sign.close()


# Modes


def test_hosted_page_offers_no_paths(open_app: OpenApp, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CBM_MODE", "hosted")
    app = open_app("data", fresh, data_view=ADD)
    assert "Folder on this machine" not in offered(app, "data_way")
    choose(app, "data_way", "Example scenes")
    assert "A checkpoint file" not in offered(app, "data_backbone_kind")
    assert not [element for element in open_app("data", fresh, data_view=IMPORT).text_input if "path" in str(element.key)]


def test_vectors_bring_their_pictures_and_class_names(open_app: OpenApp, fresh: Path) -> None:
    buffer = io.BytesIO()
    Scenes("free", 1, 0, "train")[0].draw(32).save(buffer, "PNG")
    files = np.array([f"{number}.png" for number in range(12)])
    app = open_app("data", fresh, data_view=IMPORT)
    app.file_uploader[0].set_value(
        [
            ("v.npz", npz(embeddings=vectors(), labels=np.arange(12) % 2, files=files), "application/octet-stream"),
            ("names.txt", b"cat\ndog\n", "text/plain"),
            ("pictures.zip", packed({f"outer/{number}.png": buffer.getvalue() for number in range(12)}), "application/zip"),
        ]
    ).run()
    assert "2 class names" in shown(app)
    assert "The pictures are there" in shown(app)
    app.selectbox(key="data_vectors_architecture-512").select("RN101").run()
    app.selectbox(key="data_vectors_tag-RN101").select("openai").run()
    app.button(key="data_import").click().run()
    (job,) = Jobs(Workspace(fresh)).list()
    made = Workspace(fresh).get(verbs.import_vectors(**job.parameters, workspace=fresh).embeddings)
    assert made.metrics["pictures"] == 12
    assert EmbeddingSet.load(made).classes == ("cat", "dog")


def test_discover_learns_from_the_set_that_the_link_names(open_app: OpenApp, encoded: Workspace) -> None:
    wanted = set_named(encoded, "pictures")
    short = wanted.id.partition("-")[2][:8]
    app = open_app("discover", encoded.root, embeddings=short, discover_view="New run")
    assert app.multiselect(key=f"new_run_sets-{short}").value == [wanted.id]


def test_page_of_pictures_is_part_of_the_address(open_app: OpenApp) -> None:
    first, second = (
        {str(button.key) for button in open_app("data", data_page=page).button if str(button.key).startswith("data_like-")}
        for page in (1, 2)
    )
    assert len(first) == len(second) == 24
    assert not first & second
    assert len(open_app("data", data_page="9999").grid(key="data_pictures").image) in range(1, 25)
    assert len(open_app("data", data_page="nonsense").grid(key="data_pictures").image) == 24
