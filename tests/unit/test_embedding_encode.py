"""Encoding a source: resumable, de-duplicated, and the same request twice is the same artefact."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import cbm  # noqa: F401  (installs the torchvision hook before open_clip is imported)
from cbm.backbones.architectures import find_architecture
from cbm.backbones.backbone import Backbone
from cbm.backbones.towers import build_model
from cbm.core.errors import Cancelled, InvalidInputError
from cbm.core.progress import Progress
from cbm.embeddings.encode import EmbedResult, embed_source
from cbm.embeddings.sets import EmbeddingSet
from cbm.embeddings.store import EmbeddingStore
from cbm.images.records import ImageRecord, Rejected
from cbm.workspace.workspace import Workspace

CONFIG = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def _picture(number: int) -> bytes:
    generator = np.random.default_rng(number)
    buffer = io.BytesIO()
    Image.fromarray(generator.integers(0, 256, (24 + number % 30, 40, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


class FakeSource:
    """Pictures by number, so that twins, damaged files and failures can be put anywhere."""

    kind = "folder"
    concept_names: tuple[str, ...] = ("red", "rare")
    notes: tuple[str, ...] = ()

    def __init__(self, numbers: list[int | str], place: str = "/somewhere", pause: float = 0.0) -> None:
        self.name = "fake"
        self.numbers = numbers
        self.place = place
        self.pause = pause
        self.read = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def records(self) -> Iterator[ImageRecord | Rejected]:
        for index, number in enumerate(self.numbers):
            label = None if isinstance(number, str) or number % 7 == 6 else f"class {number % 3}"
            concepts = {"red": index % 2 == 0} | ({"rare": True} if index % 5 == 0 else {})
            yield ImageRecord(f"{index:04}.png", f"{self.place}/{index:04}.png", label, f"g{index % 2}", "train", concepts)

    def __iter__(self) -> Iterator[tuple[ImageRecord, bytes | Rejected]]:
        for record, number in zip(self.records(), self.numbers, strict=True):
            self.read += 1
            time.sleep(self.pause)
            assert isinstance(record, ImageRecord)
            if number == "gone":
                yield record, Rejected.of(record, "the file does not exist")
            elif number == "fails":
                raise InvalidInputError("the archive ends here")
            else:
                yield record, b"broken" if isinstance(number, str) else _picture(number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    generator = torch.Generator().manual_seed(0)
    model = build_model(find_architecture(str(folder)), allow_network=False)
    state = {name: torch.randn(tensor.shape, generator=generator) * 0.2 + 0.01 for name, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone(str(folder), device="cpu")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def _files(result: EmbedResult) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in result.artifact.path.iterdir() if file.name != "artifact.json"}


def test_the_set_holds_each_picture_s_normalised_embedding(workspace: Workspace, backbone: Backbone) -> None:
    result = embed_source(workspace, FakeSource(list(range(21))), backbone, batch_size=4)
    loaded = EmbeddingSet.load(result.artifact)
    raw = backbone.encode_images(Image.open(io.BytesIO(_picture(number))).convert("RGB") for number in range(21))
    np.testing.assert_allclose(loaded.embeddings, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-5)
    assert not loaded.embeddings.flags.writeable
    assert (loaded.space, loaded.dim, len(loaded), loaded.backbone) == ("l2", 12, 21, backbone.reference)
    assert loaded.classes == ("class 0", "class 1", "class 2")
    assert [loaded.classes[label] if label >= 0 else None for label in loaded.labels] == [
        None if number % 7 == 6 else f"class {number % 3}" for number in range(21)
    ]
    assert loaded.labelled.sum() == 18
    assert loaded.groups == ("g0", "g1")
    assert loaded.split("train").all()
    np.testing.assert_array_equal(load_file(result.artifact.path / "embeddings.safetensors")["embeddings"].numpy(), loaded.embeddings)


def test_raw_space_keeps_the_lengths(workspace: Workspace, backbone: Backbone) -> None:
    raw = EmbeddingSet.load(embed_source(workspace, FakeSource([1, 2]), backbone, space="raw").artifact)
    unit = EmbeddingSet.load(embed_source(workspace, FakeSource([1, 2]), backbone, space="l2").artifact)
    assert raw.id != unit.id
    np.testing.assert_allclose(raw.embeddings / np.linalg.norm(raw.embeddings, axis=1, keepdims=True), unit.embeddings, atol=1e-6)
    with pytest.raises(InvalidInputError, match="raw or l2"):
        embed_source(workspace, FakeSource([1]), backbone, space="centred")


def test_concepts_unknown_for_some_items_are_kept_but_no_truth(workspace: Workspace, backbone: Backbone) -> None:
    loaded = EmbeddingSet.load(embed_source(workspace, FakeSource([1, 2, 3]), backbone).artifact)
    assert loaded.concept_names == ("red",)
    np.testing.assert_array_equal(loaded.truth, [[True], [False], [True]])
    assert loaded.items["concept:rare"].isna().tolist() == [False, True, True]


def test_the_same_request_twice_is_a_cache_hit_wherever_the_pictures_lie(workspace: Workspace, backbone: Backbone) -> None:
    first = embed_source(workspace, FakeSource(list(range(9))), backbone)
    second = embed_source(workspace, FakeSource(list(range(9)), place="/moved"), backbone)
    assert (first.cached, first.reused, first.encoded) == (False, 0, 9)
    assert (second.cached, second.reused, second.encoded, second.images_per_second) == (True, 9, 0, 0.0)
    assert first.artifact.id == second.artifact.id


def test_pictures_that_were_moved_away_get_a_set_that_finds_them(workspace: Workspace, backbone: Backbone, tmp_path: Path) -> None:
    places = [tmp_path / "old", tmp_path / "new"]
    for place in places:
        place.mkdir()
        (place / "0000.png").write_bytes(_picture(1))
    first = embed_source(workspace, FakeSource([1], place=str(places[0])), backbone)
    assert embed_source(workspace, FakeSource([1], place=str(places[1])), backbone).artifact.id == first.artifact.id
    (places[0] / "0000.png").unlink()
    moved = embed_source(workspace, FakeSource([1], place=str(places[1])), backbone)
    assert (moved.encoded, moved.cached) == (0, False)
    assert EmbeddingSet.load(moved.artifact).items["uri"].tolist() == [str(places[1] / "0000.png")]
    assert embed_source(workspace, FakeSource([1], place=str(places[1])), backbone).cached


def test_other_labels_on_the_same_pictures_are_another_set_without_encoding(workspace: Workspace, backbone: Backbone) -> None:
    first = embed_source(workspace, FakeSource([0, 1, 2, 3]), backbone)
    relabelled = FakeSource([0, 1, 2, 3])
    relabelled.records = lambda: (ImageRecord(f"{index:04}.png", "", label="one") for index in range(4))  # type: ignore[method-assign]
    second = embed_source(workspace, relabelled, backbone)
    assert second.artifact.id != first.artifact.id
    assert second.encoded == 0


def test_identical_files_are_encoded_once_within_a_batch_and_across_batches(workspace: Workspace, backbone: Backbone) -> None:
    result = embed_source(workspace, FakeSource([5, 5, 6, 7, 5, 8, 6, 9]), backbone, batch_size=3)
    loaded = EmbeddingSet.load(result.artifact)
    assert (result.count, result.encoded, result.reused) == (8, 5, 3)
    np.testing.assert_array_equal(loaded.embeddings[0], loaded.embeddings[4])
    assert loaded.items["sha256"].nunique() == 5


def test_bad_files_are_listed_and_stop_nothing(workspace: Workspace, backbone: Backbone) -> None:
    result = embed_source(workspace, FakeSource([1, "broken", 2, "gone"]), backbone)
    assert result.count == 2
    assert [rejected.item for rejected in result.rejected] == ["0001.png", "0003.png"]
    stored = json.loads((result.artifact.path / "rejected.json").read_text())
    assert stored[1] == {"item": "0003.png", "uri": "/somewhere/0003.png", "reason": "the file does not exist"}
    with pytest.raises(InvalidInputError, match=r"2 rejected; the first"):
        embed_source(workspace, FakeSource(["broken", "gone"]), backbone)


def test_a_source_that_fails_keeps_what_was_finished(workspace: Workspace, backbone: Backbone) -> None:
    with pytest.raises(InvalidInputError, match="the archive ends here"):
        embed_source(workspace, FakeSource([*range(10), "fails"]), backbone, batch_size=4)
    assert embed_source(workspace, FakeSource(list(range(10))), backbone, batch_size=4).reused == 8


def test_cancelling_keeps_finished_batches_and_progress_tells_the_rate(workspace: Workspace, backbone: Backbone) -> None:
    told: list[Progress] = []
    with pytest.raises(Cancelled, match="run it again"):
        embed_source(workspace, FakeSource(list(range(40))), backbone, batch_size=4, progress=told.append, cancelled=lambda: len(told) > 2)
    assert told[-1].done == 12
    assert told[-1].total == 40
    assert told[-1].figures["images_per_second"] > 0
    assert workspace.list("embeddings") == []
    resumed = embed_source(workspace, FakeSource(list(range(40))), backbone, batch_size=4)
    assert resumed.reused == 12


def test_only_a_few_pictures_are_read_ahead_of_the_model(workspace: Workspace, backbone: Backbone) -> None:
    source = FakeSource(list(range(150)))
    with pytest.raises(Cancelled):
        embed_source(workspace, source, backbone, batch_size=4, cancelled=lambda: time.sleep(0.3) is None)
    assert source.read < 4 + 4 * 4 + 5


# Imports once, then forks a child for each line it is given; importing torch takes longer than all the embedding.
_NURSERY = """
import os, sys
sys.path.insert(0, {tests!r})
import cbm, torch
torch.set_num_threads(1)
from test_embedding_encode import FakeSource
from cbm.backbones.backbone import Backbone
from cbm.embeddings.encode import embed_source
from cbm.workspace import Workspace
backbone = Backbone({folder!r}, device="cpu")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        source = FakeSource([*range(60), 3, 4, *range(60, 130)], pause=0.004)
        embed_source(Workspace({workspace!r}), source, backbone, batch_size=4)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _kill_at_random_moments(nursery: subprocess.Popen[str], committed: Callable[[], int]) -> list[int]:
    """How many pictures were committed after each kill; the last run is let finish."""
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    chance = random.Random(7)
    counts = [committed()]
    for attempt in range(6):
        print("go", file=nursery.stdin, flush=True)
        child = int(nursery.stdout.readline())
        if attempt < 5:
            # Waiting for a few batches makes every run get somewhere on a slow machine; the moment within a batch stays random.
            wanted = counts[-1] + chance.randrange(1, 17)
            deadline = time.monotonic() + 60
            while committed() < wanted and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.03))
            os.kill(child, signal.SIGKILL)
        status = int(nursery.stdout.readline())
        assert status in (0, -signal.SIGKILL)
        counts.append(committed())
    assert status == 0
    return counts


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_killed_again_and_again_it_finishes_with_the_same_bytes_and_no_batch_twice(
    tmp_path: Path, folder: Path, backbone: Backbone
) -> None:
    workspace = Workspace(tmp_path / "killed")
    code = _NURSERY.format(tests=str(Path(__file__).parent), folder=str(folder), workspace=str(workspace.root))

    def committed() -> int:
        with EmbeddingStore(workspace.store).open(backbone.store_key, backbone.dim) as part:
            return len(part)

    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as nursery:
        counts = _kill_at_random_moments(nursery, committed)
    assert counts == sorted(counts)
    assert any(0 < count < 130 for count in counts)

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = embed_source(Workspace(tmp_path / "whole"), FakeSource([*range(60), 3, 4, *range(60, 130)]), backbone, batch_size=4)
    resumed = embed_source(workspace, FakeSource([*range(60), 3, 4, *range(60, 130)]), backbone, batch_size=4)
    torch.set_num_threads(torch_threads)
    assert resumed.cached
    assert _files(resumed) == _files(whole)
    with (
        EmbeddingStore(workspace.store).open(backbone.store_key, backbone.dim) as part,
        EmbeddingStore(tmp_path / "whole" / "store").open(backbone.store_key, backbone.dim) as straight,
    ):
        assert [(batch.first_row, batch.count) for batch in part.batches()] == [(b.first_row, b.count) for b in straight.batches()]
        assert sum(batch.count for batch in part.batches()) == len(part) == 130
        assert len({batch.process for batch in part.batches()}) > 1
        shards = [(workspace.store / backbone.store_key / name).read_bytes() for name in ("shard-00000.f32",)]
        assert shards == [(tmp_path / "whole" / "store" / backbone.store_key / "shard-00000.f32").read_bytes()]
