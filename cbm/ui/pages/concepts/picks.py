"""The concepts that a visitor picks and pins, and what may be done with them; ids only."""

from __future__ import annotations

from collections.abc import Sequence

from cbm.editing.recipe import HideConcepts, MergeConcepts
from cbm.ui.frame import edits, selections
from cbm.ui.frame.slots import Slot, widget_value
from cbm.ui.frame.state import ConceptsPage

PICKING = Slot(ConceptsPage.key("picking"), False)
"""Whether cards can be ticked."""
_TICKED_ROWS = Slot(ConceptsPage.key("rows_ticked"), False)
_MOST_PINS = 48


def first_page() -> None:
    """Callback of whatever changes what is listed."""
    ConceptsPage.put(page=None)


# Pins


def pins(model: str) -> tuple[int, ...]:
    """Concepts that the visitor pinned, or that the link has pinned; the URL then names them."""
    if not ConceptsPage.PINS.has(model):
        ConceptsPage.PINS.put(model, ConceptsPage.read().pinned)
    held = ConceptsPage.PINS.get(model)
    ConceptsPage.put(pinned=held)
    return held


def pin(model: str) -> None:
    """Pin the picked concepts; where all of them are pinned already, take them off instead."""
    held, chosen = pins(model), picks(model)
    if all(concept in held for concept in chosen):
        kept = tuple(concept for concept in held if concept not in chosen)
    else:
        kept = tuple(dict.fromkeys([*held, *chosen]))[:_MOST_PINS]
    ConceptsPage.PINS.put(model, kept)
    drop_picks(model)


# Picks


def picks(model: str) -> tuple[int, ...]:
    """Concepts whose cards are ticked, in the order of ticking."""
    return ConceptsPage.PICKS.get(model)


def drop_picks(model: str) -> None:
    set_picks(model, ())


def set_picks(model: str, concepts: Sequence[int]) -> None:
    ConceptsPage.PICKS.put(model, tuple(dict.fromkeys(concepts)))


def tick(model: str, concept: int, key: str) -> None:
    """Callback of a card's box."""
    others = tuple(picked for picked in picks(model) if picked != concept)
    set_picks(model, (*others, concept) if widget_value(key) else others)


def tick_rows(model: str, concepts: Sequence[int]) -> None:
    """After the table was drawn: its ticked rows are the picks; what was picked as cards stays until a row is ticked."""
    if concepts or _TICKED_ROWS.get():
        set_picks(model, concepts)
    _TICKED_ROWS.put(bool(concepts))


# What may be done with the picked concepts: each is one edit, and one undo


def hide_picked(model: str, names: Sequence[str]) -> None:
    if picks(model):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        edits.add(model, HideConcepts(picks(model), shown))
    drop_picks(model)


def merge(model: str, concepts: Sequence[int], names: Sequence[str], name: str) -> None:
    """Show several concepts as one; nothing for fewer than two."""
    if len(concepts) > 1 and name.strip():
        edits.add(model, MergeConcepts(tuple(concepts), tuple(names), name.strip()))
    drop_picks(model)


def merge_picked(model: str, names: Sequence[str], key: str) -> None:
    merge(model, picks(model), names, str(widget_value(key) or "") or names[0])


def select_picked(model: str) -> None:
    selections.select(model, "concepts", picks(model))
    drop_picks(model)
    first_page()


def select_found(model: str, concepts: tuple[int, ...], name: str | None) -> None:
    selections.select(model, "concepts", concepts, name)
    first_page()
