"""The image sets of a workspace, for people: what each holds, which pictures show it, and what is known of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int

from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CorruptArtifactError, NotFoundError
from cbm.embeddings.sets import CONCEPT_PREFIX, UNKNOWN, EmbeddingSet, SetHeader, set_title
from cbm.study.images import PictureTile
from cbm.workspace import EmbeddingsArtifact
from cbm.workspace.ids import matching

if TYPE_CHECKING:
    import pandas

ON_CARD = 6
"""Pictures that show what a set holds."""


@dataclass(frozen=True)
class ImageSet:
    """What an embedding set says of itself, read without its vectors and items."""

    id: str
    source: str
    """What the source called itself."""
    count: int
    dim: int
    classes: tuple[str, ...]
    backbone: BackboneReference
    space: str
    created: str
    """ISO 8601."""
    rejected: int
    """Files that could not be used."""

    @property
    def title(self) -> str:
        """The source's name as people read it."""
        return set_title(self.source)

    @property
    def menu_title(self) -> str:
        """As a menu names it: "Scenes: classes, test (400 images, 10 classes)"."""
        labels = f"{len(self.classes):,} classes" if self.classes else "no labels"
        return f"{self.title} ({self.count:,} images, {labels})"

    @property
    def weights(self) -> str:
        """The tag or file of the backbone's weights; empty for the one that ships."""
        return "" if self.backbone.pretrained == self.backbone.architecture else self.backbone.pretrained


@dataclass(frozen=True)
class ImageSetCard:
    """An image set with what a look into its items adds."""

    facts: ImageSet
    sizes: tuple[tuple[str, int], ...]
    """Images of each class that has any."""
    splits: tuple[str, ...]
    """Names of the splits; empty where there is only one, or none."""
    uris: tuple[str, ...]
    """A few pictures, of as many classes as there are."""

    @property
    def id(self) -> str:
        return self.facts.id

    @property
    def classes(self) -> int:
        """Classes that have images."""
        return len(self.sizes)


@dataclass(frozen=True)
class Found:
    """Rows of a set in the order in which they are shown, with their scores where they were searched for."""

    rows: Sequence[int] | Int[np.ndarray, " found"]
    scores: Sequence[float] = ()


def read_image_set(artifact: EmbeddingsArtifact) -> ImageSet:
    """What an embedding set says of itself.

    Raises:
        CorruptArtifactError: its record is missing or malformed.
    """
    try:
        header = SetHeader.read(artifact.path)
        return ImageSet(
            id=artifact.id,
            source=header.name,
            count=header.count,
            dim=header.dim,
            classes=header.classes,
            backbone=header.backbone,
            space=header.space,
            created=artifact.created,
            rejected=artifact.figures.rejected or 0,
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(f"{artifact.path} is not a readable embedding set ({error}); make it again.") from error


def readable_image_sets(artifacts: Iterable[EmbeddingsArtifact]) -> tuple[ImageSet, ...]:
    """The embedding sets, in the order given; one whose record cannot be read is left out."""
    found = []
    for artifact in artifacts:
        try:
            found.append(read_image_set(artifact))
        except CorruptArtifactError:
            continue
    return tuple(found)


def image_set_card(artifact: EmbeddingsArtifact, embeddings: EmbeddingSet) -> ImageSetCard:
    """An opened embedding set as a card shows it."""
    has_picture = (embeddings.items["uri"] != "").to_numpy()
    counts = class_counts(embeddings)
    splits = tuple(str(name) for name in embeddings.items["split"].unique() if name)
    facts = ImageSet(
        id=artifact.id,
        source=embeddings.name,
        count=len(embeddings),
        dim=embeddings.dim,
        classes=embeddings.classes,
        backbone=embeddings.backbone,
        space=embeddings.space,
        created=artifact.created,
        rejected=artifact.figures.rejected or 0,
    )
    return ImageSetCard(
        facts,
        sizes=tuple(zip(counts["Class"], (int(count) for count in counts["Images"]), strict=True)),
        splits=splits if len(splits) > 1 else (),
        uris=tuple(embeddings.items["uri"].iloc[_spread(embeddings.labels, has_picture)]),
    )


def _spread(labels: Int[np.ndarray, " items"], wanted: Bool[np.ndarray, " items"]) -> Int[np.ndarray, " few"]:
    """A few rows among the wanted ones: the first of every class in turn, evenly spaced over the classes where there are many."""
    rows = np.flatnonzero(wanted)
    firsts = rows[np.unique(labels[rows], return_index=True)[1]]
    if len(firsts) >= ON_CARD:
        return firsts[np.linspace(0, len(firsts) - 1, ON_CARD).astype(int)]
    others = np.setdiff1d(rows, firsts)
    more = others[np.linspace(0, len(others) - 1, min(len(others), ON_CARD - len(firsts))).astype(int)] if len(others) else others
    return np.concatenate([firsts, more]).astype(int)


def find_image_set(cards: Sequence[ImageSetCard], asked: str | None) -> ImageSetCard:
    """The card of the set that a link asks for, else the first.

    Raises:
        NotFoundError: the link names no set of this workspace, or more than one.
    """
    if asked is None:
        return cards[0]
    fitting = matching(asked, [card.id for card in cards])
    if len(fitting) != 1:
        raise NotFoundError(f"The link asks for the image set {asked!r}, which is not in this workspace. Choose one of those above.")
    return next(card for card in cards if card.id == fitting[0])


def class_counts(embeddings: EmbeddingSet) -> pandas.DataFrame:
    """Images of each class, and of each of its splits where there are several; the classes as they are numbered."""
    import pandas as pd

    labels, splits = embeddings.labels, embeddings.items["split"].to_numpy()
    counts = np.bincount(labels[labels != UNKNOWN], minlength=len(embeddings.classes))
    table = pd.DataFrame({"Class": list(embeddings.classes), "Images": counts})
    names = [name for name in pd.unique(splits) if name]
    if len(names) > 1:
        for name in names:
            table[name.capitalize()] = np.bincount(labels[(labels != UNKNOWN) & (splits == name)], minlength=len(embeddings.classes))
    return table[table["Images"] > 0].reset_index(drop=True)


def known_concepts(embeddings: EmbeddingSet) -> pandas.DataFrame:
    """Share of images with each concept that the source's table told, and how many images it says nothing about."""
    import pandas as pd

    columns = [str(name) for name in embeddings.items.columns if str(name).startswith(CONCEPT_PREFIX)]
    truth = {column: embeddings.items[column].astype("boolean") for column in columns}
    return pd.DataFrame(
        {
            "Concept": [column.removeprefix(CONCEPT_PREFIX) for column in columns],
            "Share": [100 * float(values.mean()) if values.notna().any() else None for values in truth.values()],
            "Unknown": [int(values.isna().sum()) for values in truth.values()],
        }
    )


def rejected_files(artifact: EmbeddingsArtifact) -> pandas.DataFrame:
    """Every file that was turned away when the set was made, with its reason.

    Raises:
        CorruptArtifactError: the list is there and cannot be read.
    """
    import pandas as pd

    from cbm.embeddings import encode

    rejected = encode.rejected_files(artifact)
    return pd.DataFrame({"File": [entry.item for entry in rejected], "Reason": [entry.reason for entry in rejected]})


def mixed_order(embeddings: EmbeddingSet) -> Int[np.ndarray, " items"]:
    """All rows, one of every class first, then a second of every class, and so on: a first page that shows what there is."""
    labels = embeddings.labels
    by_class = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[by_class], labels[by_class], side="left")
    turn = np.empty(len(labels), np.int64)
    turn[by_class] = np.arange(len(labels)) - starts
    return np.lexsort((labels, turn))


def rows_of(embeddings: EmbeddingSet, class_name: str | None, split: str | None) -> Int[np.ndarray, " rows"]:
    """The rows of a class and a split, where given."""
    wanted = np.ones(len(embeddings), bool)
    if class_name is not None and class_name in embeddings.classes:
        wanted &= embeddings.labels == embeddings.classes.index(class_name)
    if split is not None:
        wanted &= embeddings.split(split)
    return np.flatnonzero(wanted)


def picture_tiles(embeddings: EmbeddingSet, found: Found) -> tuple[PictureTile, ...]:
    """One tile a row: its class (else its name) and, where it was searched for, its cosine."""
    items = embeddings.items.iloc[list(found.rows)]
    tiles = []
    for position, (row, item, uri, label) in enumerate(zip(found.rows, items["item"], items["uri"], items["label"], strict=True)):
        name = embeddings.classes[label] if label != UNKNOWN else short_name(item)
        title = f"{found.scores[position]:.2f} · {name}" if found.scores else name
        tiles.append(PictureTile(row, uri, title, f"{item}{f', class {name}' if label != UNKNOWN else ''}"))
    return tuple(tiles)


def short_name(item: str, most: int = 24) -> str:
    """The end of an item's name, which is where names differ.

    >>> short_name("birds/gulls/0007.jpg"), short_name("scene:classes/7"), short_name("a-very-long-name-of-a-picture.jpg", most=12)
    ('0007.jpg', 'scene 7', '…picture.jpg')
    """
    name = item.rpartition("/")[2] if not item.startswith("scene:") else f"scene {item.rpartition('/')[2]}"
    return name if len(name) <= most else f"…{name[1 - most :]}"
