"""One concept as its page shows it, in plain values. No Streamlit in here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cbm.editing.recipe import Recipe
from cbm.study.evidence import Firing, Known, class_weights, firing, known_concepts
from cbm.study.study import Study
from cbm.study.views import ConceptTile, PictureTile

_CANDIDATES = 5
_CLASSES = 12


@dataclass(frozen=True, eq=False)
class ConceptDetail:
    """The page of one concept."""

    tile: ConceptTile
    """The concept as the visitor decided to see it; of merged ones, the one that stands for all."""
    asked: int
    """The concept that the address names; it may be merged into another."""
    fired: Firing
    names: tuple[tuple[int, str], ...]
    """Number and name of every member of a merged concept; one entry otherwise."""
    candidates: tuple[tuple[str, float], ...]
    class_weights: tuple[tuple[str, float], ...]
    known: tuple[Known, ...]
    """Best agreeing known concepts, best first; empty when the images have no known concepts."""
    before: int | None
    """The concept before it in the list, and the one after it."""
    after: int | None

    @property
    def merged(self) -> bool:
        return len(self.names) > 1


def concept_detail(study: Study, concept: int, recipe: Recipe) -> ConceptDetail:
    """Everything about one concept but its pictures.

    Raises:
        NotFoundError: there is no such concept.
    """
    study.check_concept(concept)
    decisions = recipe.decisions()
    shown = decisions.standing_for.get(concept, concept)
    members = decisions.groups.get(shown, (shown,))
    tiles = study.concept_tiles(recipe)
    position = next(position for position, tile in enumerate(tiles) if tile.index == shown)
    fired = firing(study, members)
    return ConceptDetail(
        tile=replace(tiles[position], frequency=fired.frequency),
        asked=concept,
        fired=fired,
        names=tuple((member, study.concept_names[member]) for member in members),
        candidates=tuple(study.model.concepts.candidates(shown)[:_CANDIDATES]),
        class_weights=class_weights(study, fired, recipe)[:_CLASSES],
        known=known_concepts(study, fired),
        before=_visible(tiles, position, -1),
        after=_visible(tiles, position, 1),
    )


def _visible(tiles: list[ConceptTile], position: int, step: int) -> int | None:
    """The next concept in a direction that fires and is not hidden."""
    position += step
    while 0 <= position < len(tiles):
        if tiles[position].frequency > 0 and not tiles[position].hidden:
            return tiles[position].index
        position += step
    return None


def strength_tiles(study: Study, recipe: Recipe, fired: Firing, positions: tuple[int, ...]) -> list[PictureTile]:
    """Pictures titled by how strongly the concept fires on them, marked by whether the model gets them right."""
    tiles = study.pictures([int(fired.rows[position]) for position in positions], recipe)
    return [replace(tile, title=f"{fired.values[position]:.2f}") for tile, position in zip(tiles, positions, strict=True)]


def row_tiles(study: Study, recipe: Recipe, fired: Firing, rows: list[int]) -> list[PictureTile]:
    """As `strength_tiles`, for any images: 0.00 where the concept is silent."""
    strengths = fired.dense()
    return [replace(tile, title=f"{strengths[tile.row]:.2f}") for tile in study.pictures(rows, recipe)]
