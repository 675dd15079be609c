"""What the guided scenarios are about, found in the model itself: which mistake to correct, what to ablate, which name to doubt.

Every figure is measured on the held-out images under the very recipe that the scenario asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from cbm.core.codes import Codes
from cbm.editing.contributions import Contributions, contributions
from cbm.editing.effect import EditEffect
from cbm.editing.recipe import AblateConcept, ClassScope, Decisions, GlobalScope, Recipe, Scope
from cbm.editing.sweep import sweep_concepts
from cbm.metrics.truth import area_under_roc
from cbm.study.study import Study

_MISTAKES = 400
"""Wrong images that are looked through for one that a single ablation corrects."""
_CANDIDATES = 100
"""Concepts that are tried."""
_MOST_ABLATED = 3
_LEAST_GAIN = 0.02
"""By how much of the accuracy the worst group must rise, for an ablation to be worth telling."""
_DISCOVERED_AUC = 0.9


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction, and what ablating one concept everywhere does about it."""

    item: str
    uri: str
    truth: str
    said: str
    """The class that the model takes the image for."""
    concept: int
    name: str
    share: float
    """Of the wrong class's score by size, what the concept contributes; 0 to 1."""
    corrected: int
    """Held-out images that the ablation puts right, this one among them."""
    newly_wrong: int
    accuracy_before: float
    accuracy_after: float


@dataclass(frozen=True)
class ConfusedClasses:
    """Two classes that are mixed up, and what forbidding one concept to the wrong one does about it."""

    truth: str
    said: str
    count: int
    """Held-out images of the one class that the model takes for the other."""
    item: str
    uri: str
    concept: int
    name: str
    corrected: int
    newly_wrong: int
    accuracy_before: float
    accuracy_after: float


@dataclass(frozen=True)
class Example:
    """A right prediction that is easy to read, and what it would be without its weightiest concept."""

    row: int
    item: str
    uri: str
    said: str
    concept: int
    name: str
    share: float
    said_without: str


@dataclass(frozen=True)
class Shortcut:
    """A group that fares badly, and the concepts whose ablation lifts it."""

    model: str
    title: str
    item: str
    """A wrongly predicted image of the group."""
    uri: str
    group: str
    concepts: tuple[tuple[int, str], ...]
    """Index and name, in the order in which they are to be ablated."""
    worst_before: float
    worst_after: float
    accuracy_before: float
    accuracy_after: float


@dataclass(frozen=True)
class Doubt:
    """A concept whose name deserves a second look."""

    concept: int
    name: str
    score: float
    """Of the name, in the unit of the naming rule."""
    runner_up: str | None
    uris: tuple[str, ...]
    """The images on which the concept is strongest."""
    known: tuple[str, float] | None
    """The known concept that it detects best, with the AUC; None where nothing is known."""
    top_class: str | None


def _measured(study: Study, concepts: Sequence[int], scope: Scope | None = None) -> EditEffect | None:
    """What ablating the concepts, on top of the stored edits, does to the held-out images."""
    stored = study.model.recipe
    edits = (AblateConcept(concept, study.name(concept, stored), scope or GlobalScope()) for concept in concepts)
    return study.effect(stored.append(*edits), stored)


def _contributions(study: Study, row: int) -> Contributions:
    """Of one image, as the model is stored; every concept for itself."""
    codes = study.scored.codes[row]
    head = study.scored.head_for(study.model.recipe, study.item(row))
    return contributions(head, codes.indices.astype(np.int64), codes.data, Decisions({}, {}, frozenset()))


def _single_fixes(study: Study, rows: Sequence[int]) -> list[tuple[int, int, float]]:
    """(row, concept, share of the wrong score) for each concept without which the model would be right about an image."""
    logits, predicted = study.logits(), study.predicted()
    fixes = []
    for row in rows:
        shown = _contributions(study, row)
        right = (logits[row] - shown.contributions).argmax(axis=1) == study.labels[row]
        sizes = np.abs(shown.contributions[:, predicted[row]])
        shares = sizes / max(float(sizes.sum()), 1e-12)
        fixes += [(row, int(shown.concepts[place]), float(shares[place])) for place in np.flatnonzero(right & (sizes > 0))]
    return fixes


def find_mistake(study: Study) -> Mistake | None:
    """The wrong prediction whose correction by one ablation does most good; None where no single ablation corrects any."""
    predicted = study.predicted()
    wrong = np.flatnonzero((study.labels >= 0) & (predicted != study.labels))[:_MISTAKES]
    fixes = _single_fixes(study, wrong.tolist())
    if not fixes:
        return None
    concepts, counts = np.unique([concept for _, concept, _ in fixes], return_counts=True)
    tried = concepts[np.argsort(-counts, kind="stable")[:_CANDIDATES]].tolist()
    gains = sweep_concepts(study.scored, study.model.recipe, study.labels, only=tried).net
    named = study.model.concepts.named
    best = max(tried, key=lambda concept: (gains[concept], bool(named[concept]), -concept))
    row, _, share = max((fix for fix in fixes if fix[1] == best), key=lambda fix: (fix[2], -fix[0]))
    effect = _measured(study, [best])
    assert effect is not None  # an ablation, and labels
    return Mistake(
        item=study.item(row),
        uri=study.uris[row],
        truth=study.class_names[study.labels[row]],
        said=study.class_names[predicted[row]],
        concept=best,
        name=study.name(best),
        share=share,
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_shortcut(study: Study, model: str, title: str) -> Shortcut | None:
    """The ablations that lift the worst group most, found one after another; None without groups, or where none helps."""
    before = study.groups()
    if before is None or study.group_labels is None:
        return None
    listed = sorted(study.concepts(Recipe()), key=lambda concept: -concept.predictiveness)
    tried = [concept.index for concept in listed[:_CANDIDATES]]
    judged = np.where(study.labels >= 0, study.group_labels, -1)
    counts = np.bincount(judged[judged >= 0])
    present = counts > 0
    chosen: list[int] = []
    recipe, reached = study.model.recipe, before.mean
    # Guided by the mean over groups: one ablation may free one group while another stays the worst.
    while len(chosen) < _MOST_ABLATED:
        options = [concept for concept in tried if concept not in chosen]
        net = sweep_concepts(study.scored, recipe, study.labels, groups=judged, only=options).net_by_group[options]
        means = reached + (net[:, present] / counts[present]).mean(axis=1)
        if not options or means.max() < reached + _LEAST_GAIN:
            break
        best, reached = options[int(means.argmax())], float(means.max())
        chosen.append(best)
        recipe = recipe.append(AblateConcept(best, study.name(best)))
    members = np.flatnonzero((judged == before.worst.index) & (study.predicted() != study.labels))
    effect = _measured(study, chosen) if chosen else None
    if effect is None or effect.worst_group_before is None or effect.worst_group_after is None or not len(members):
        return None
    if effect.worst_group_after < effect.worst_group_before + _LEAST_GAIN:
        return None
    return Shortcut(
        model=model,
        title=title,
        item=study.item(int(members[0])),
        uri=study.uris[int(members[0])],
        group=before.worst.name,
        concepts=tuple((concept, study.name(concept)) for concept in chosen),
        worst_before=effect.worst_group_before,
        worst_after=effect.worst_group_after,
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_example(study: Study) -> Example | None:
    """The right prediction that its three weightiest concepts explain best, all of them named; None where nothing is right."""
    predicted = study.predicted()
    right = np.flatnonzero(predicted == study.labels) if study.labelled_images else np.arange(study.image_count)
    named, names = study.model.concepts.named, study.model.concepts.names
    best: tuple[float, int, int, float] | None = None
    for row in right[:: max(1, len(right) // _MISTAKES)].tolist():
        shown = _contributions(study, row)
        concepts, values = shown.concepts, shown.contributions[:, predicted[row]]
        if not values.any():
            continue
        sizes = np.abs(values) / np.abs(values).sum()
        top = np.argsort(-values, kind="stable")[:3]
        # A reason that is given twice counts once.
        told = dict(zip((names[concept] for concept in concepts[top[::-1]]), top[::-1], strict=True)).values()
        readable = sum(float(sizes[at]) for at in told if named[concepts[at]] and values[at] > 0)
        # Three reasons read better than one that is nearly all.
        readable -= max(0.0, float(sizes[top[0]]) - 0.6)
        if best is None or readable > best[0]:
            best = readable, row, int(concepts[top[0]]), float(sizes[top[0]])
    if best is None:
        return None
    _, row, concept, share = best
    name = study.name(concept)
    without = study.model.recipe.append(AblateConcept(concept, name))
    said, said_without = (study.class_names[label] for label in (predicted[row], study.predicted(without)[row]))
    return Example(row, study.item(row), study.uris[row], said, concept, name, share, said_without)


def find_confusion(study: Study) -> ConfusedClasses | None:
    """The pair of classes that is confused most, and the concept that is best forbidden to the wrong one; None where nothing helps."""
    pairs = study.confusions().pairs(1)
    if not pairs:
        return None
    truth, taken_for, count = pairs[0]
    rows = np.flatnonzero((study.labels == truth) & (study.predicted() == taken_for))
    stored, codes = study.model.recipe, study.scored.codes
    pushes = np.asarray(codes[rows].mean(axis=0)).ravel() * study.scored.head_for(stored).weight[:, taken_for]
    tried = [concept for concept in np.argsort(-pushes, kind="stable")[:_CANDIDATES].tolist() if pushes[concept] > 0]
    gains = sweep_concepts(study.scored, stored, study.labels, class_index=taken_for, only=tried).net
    best = max(tried, key=lambda concept: (gains[concept], -concept), default=None)
    if best is None or gains[best] <= 0:
        return None
    effect = _measured(study, [best], ClassScope(study.class_names[taken_for]))
    assert effect is not None  # an ablation, and labels
    row = next((int(row) for row in rows if codes[row, best] != 0), int(rows[0]))
    return ConfusedClasses(
        truth=study.class_names[truth],
        said=study.class_names[taken_for],
        count=count,
        item=study.item(row),
        uri=study.uris[row],
        concept=best,
        name=study.name(best),
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_doubt(study: Study) -> Doubt | None:
    """The concept with the least certain name among those that the classes lean on; None where no concept in use has a name.

    Where known concepts tell the truth, one that is surely about something else than its name says comes first.
    """
    tiles = [tile for tile in study.concepts(Recipe()) if tile.named and tile.top_class is not None and tile.frequency > 0]
    if not tiles:
        return None
    weighty = sorted(tiles, key=lambda tile: -tile.predictiveness)[:_CANDIDATES]
    known = _known_concepts(study, [tile.index for tile in weighty])
    misnamed = [tile for tile in weighty if _is_misnamed(tile.name, known.get(tile.index), study)]
    tile = min(misnamed or weighty, key=lambda tile: (tile.name_score, tile.index))
    others = [word for word, _ in study.model.concepts.candidates(tile.index) if word != tile.name]
    (shown,) = study.with_pictures([tile], 6)
    return Doubt(tile.index, tile.name, tile.name_score, others[0] if others else None, shown.uris, known.get(tile.index), tile.top_class)


def _known_concepts(study: Study, concepts: Sequence[int]) -> dict[int, tuple[str, float]]:
    """For each concept the known one that it detects best, with the AUC."""
    names = study.held_out.concept_names
    if not names:
        return {}
    chosen = scipy.sparse.csr_matrix(study.scored.codes[:, list(concepts)])
    auc = np.nan_to_num(area_under_roc(Codes.from_csr(chosen), study.held_out.truth))
    return {concept: (names[int(row.argmax())], float(row.max())) for concept, row in zip(concepts, auc, strict=True)}


def _is_misnamed(name: str, known: tuple[str, float] | None, study: Study) -> bool:
    """Whether a concept surely is about something else than its name says: the truth that the demo recorded, else a name that differs."""
    if known is None or known[1] < _DISCOVERED_AUC:
        return False
    recorded = study.metrics.get("known_concepts")
    if isinstance(recorded, list) and recorded:
        return any(entry.get("concept") == known[0] and entry.get("name") == name and entry.get("right") is False for entry in recorded)
    return name.lower() != known[0].lower()


@dataclass(frozen=True)
class Carrier:
    """The concept whose loss costs most: what the model cannot do without."""

    concept: int
    name: str
    item: str
    uri: str
    truth: str
    """Class of the image, which becomes wrong without the concept."""
    corrected: int
    newly_wrong: int
    fallen: str
    """The class that loses most."""
    accuracy_before: float
    """Of that class."""
    accuracy_after: float


def find_carrier(study: Study) -> Carrier | None:
    """None where no ablation of a single concept makes an image wrong."""
    if not study.labelled_images:
        return None
    concept = int(sweep_concepts(study.scored, study.model.recipe, study.labels).newly_wrong.argmax())
    effect = _measured(study, [concept])
    if effect is None or not len(effect.newly_wrong):
        return None
    row = int(effect.newly_wrong[0])
    fallen = max(effect.per_class, key=lambda part: part.before - part.after)
    return Carrier(
        concept,
        study.name(concept),
        study.item(row),
        study.uris[row],
        study.class_names[study.labels[row]],
        len(effect.corrected),
        len(effect.newly_wrong),
        fallen.name,
        fallen.before,
        fallen.after,
    )
