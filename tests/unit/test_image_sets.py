"""Image sets for people: cards, titles, tables, rows and tiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CorruptArtifactError, NotFoundError
from cbm.embeddings.sets import EmbeddingSet, set_title
from cbm.study import image_sets
from cbm.workspace import ArtifactId, EmbeddingsArtifact
from cbm.workspace.requests import OtherRequest

DEMO = BackboneReference("demo", "demo", "0" * 32)


def made(labels: list[int], classes: tuple[str, ...] = (), splits: list[str] | None = None, uris: list[str] | None = None) -> EmbeddingSet:
    count = len(labels)
    items = pd.DataFrame(
        {
            "item": [f"folder/image {row}.png" for row in range(count)],
            "uri": uris or [f"/pictures/{row}.png" for row in range(count)],
            "label": labels,
            "group": -1,
            "split": splits or [""] * count,
            "sha256": "",
        }
    )
    return EmbeddingSet("embeddings-0123456789abcdef", np.eye(count, 4, dtype=np.float32), items, classes, (), DEMO, "l2", "pets.zip")


def artifact(folder: Path, **metrics: object) -> EmbeddingsArtifact:
    identifier = ArtifactId("embeddings-0123456789abcdef")
    return EmbeddingsArtifact(identifier, folder, "2026-11-22T10:00:00", OtherRequest("embeddings", {}), metrics, {})


def test_card_counts_only_classes_that_have_images_and_shows_different_ones(tmp_path: Path) -> None:
    embeddings = made([0] * 50 + [2] * 50, ("cat", "dog", "eel"))
    card = image_sets.image_set_card(artifact(tmp_path, rejected=3), embeddings)
    assert card.sizes == (("cat", 50), ("eel", 50))
    assert card.classes == 2
    assert card.facts.rejected == 3
    assert len(card.uris) == image_sets.ON_CARD
    assert len(set(card.uris)) == image_sets.ON_CARD
    assert {"/pictures/0.png", "/pictures/50.png"} <= set(card.uris)
    assert card.facts.weights == ""
    assert card.splits == ()


@pytest.mark.parametrize("count", [1, 3, 6, 40])
def test_card_of_few_images_repeats_none(tmp_path: Path, count: int) -> None:
    card = image_sets.image_set_card(artifact(tmp_path), made([-1] * count))
    assert len(card.uris) == len(set(card.uris)) == min(count, image_sets.ON_CARD)
    assert card.classes == 0


def test_card_of_vectors_without_pictures_has_none(tmp_path: Path) -> None:
    assert image_sets.image_set_card(artifact(tmp_path), made([0, 1], ("a", "b"), uris=["", ""])).uris == ()


def test_names_of_drawn_scenes_are_readable() -> None:
    assert set_title("scenes:classes?count=40&seed=0&split=test") == "Scenes: classes, test"
    assert set_title("photos.zip") == "photos.zip"


def test_address_finds_a_set_by_its_digits_or_says_that_it_is_gone(tmp_path: Path) -> None:
    card = image_sets.image_set_card(artifact(tmp_path), made([0], ("cat",)))
    assert image_sets.find_image_set([card], None) == card
    assert image_sets.find_image_set([card], "0123") == card
    for unknown in ("ffff", ""):
        with pytest.raises(NotFoundError):
            image_sets.find_image_set([card], unknown)


def test_mixed_order_shows_every_class_before_any_twice() -> None:
    embeddings = made([0, 0, 0, 1, 1, 2, -1], ("a", "b", "c"))
    order = image_sets.mixed_order(embeddings)
    assert sorted(order) == list(range(7))
    assert embeddings.labels[order].tolist() == [-1, 0, 1, 2, 0, 1, 0]


def test_rows_of_a_class_and_split() -> None:
    embeddings = made([0, 1, 0, 1], ("a", "b"), ["train", "train", "test", "test"])
    assert image_sets.rows_of(embeddings, "b", "test").tolist() == [3]
    assert image_sets.rows_of(embeddings, "b", None).tolist() == [1, 3]
    table = image_sets.class_counts(embeddings)
    assert table.to_dict("list") == {"Class": ["a", "b"], "Images": [2, 2], "Train": [1, 1], "Test": [1, 1]}


def test_known_concepts_tell_unknown_from_absent() -> None:
    embeddings = made([0, 0, 0, 0], ("a",))
    embeddings.items["concept:striped"] = [True, False, False, True]
    embeddings.items["concept:furry"] = pd.array([True, None, True, None], dtype="boolean")
    table = image_sets.known_concepts(embeddings)
    assert table.to_dict("list") == {"Concept": ["striped", "furry"], "Share": [50.0, 100.0], "Unknown": [0, 2]}


def test_rejected_files_come_with_their_reasons(tmp_path: Path) -> None:
    assert len(image_sets.rejected_files(artifact(tmp_path))) == 0
    (tmp_path / "rejected.json").write_text(json.dumps([{"item": "a.jpg", "uri": "/a.jpg", "reason": "it is empty"}]))
    assert image_sets.rejected_files(artifact(tmp_path)).to_dict("records") == [{"File": "a.jpg", "Reason": "it is empty"}]
    (tmp_path / "rejected.json").write_text("{")
    with pytest.raises(CorruptArtifactError):
        image_sets.rejected_files(artifact(tmp_path))


def test_tiles_name_the_class_and_the_score() -> None:
    embeddings = made([0, -1], ("cat",))
    first, second = image_sets.picture_tiles(embeddings, image_sets.Found((0, 1), (0.91234, 0.5)))
    assert first.title == "0.91 · cat"
    assert first.alt == "folder/image 0.png, class cat"
    assert second.title == "0.50 · image 1.png"
