"""What the guided scenarios are about, found in the model itself: which mistake to correct, what to ablate, which name to doubt.

Every figure is measured on the held-out images under the very recipe that the scenario asks for. No Streamlit in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from cbm.core.codes import Codes
from cbm.editing.concept_suggestions import sweep_concepts
from cbm.editing.effect import measure_recipe
from cbm.editing.recipe import AblateConcept, ClassScope, Recipe
from cbm.metrics.truth import area_under_roc
from cbm.study.ablations import gain, group_accuracy, measure, single_fixes, situation, without
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
class Confusion:
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
    """The known concept that it tells apart best, with the AUC; None where nothing is known."""
    top_class: str | None


def find_mistake(study: Study) -> Mistake | None:
    """The wrong prediction whose correction by one ablation does most good; None where no single ablation corrects any."""
    codes, weight, logits = situation(study)
    wrong = np.flatnonzero((study.labels >= 0) & (logits.argmax(axis=1) != study.labels))[:_MISTAKES]
    fixes = single_fixes(codes, weight, logits, study.labels, wrong)
    if not fixes:
        return None
    concepts, counts = np.unique([concept for _, concept, _ in fixes], return_counts=True)
    tried = concepts[np.argsort(-counts, kind="stable")[:_CANDIDATES]]
    columns = codes.tocsc()
    gains = {int(concept): gain(columns, weight, logits, study.labels, int(concept)) for concept in tried}
    named = study.model.concepts.named
    best = max(gains, key=lambda concept: (gains[concept], bool(named[concept]), -concept))
    row, _, share = max((fix for fix in fixes if fix[1] == best), key=lambda fix: (fix[2], -fix[0]))
    effect = measure(study, [best])
    return Mistake(
        item=study.item(row),
        uri=study.uris[row],
        truth=study.classes[study.labels[row]],
        said=study.classes[int(logits[row].argmax())],
        concept=best,
        name=study.name(best, study.model.recipe),
        share=share,
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_shortcut(study: Study, model: str, title: str) -> Shortcut | None:
    """The ablations that lift the worst group most, found one after another; None without groups, or where none helps."""
    judged = None if study.groups is None else np.where(study.labels >= 0, study.groups, -1)
    if judged is None or not (judged >= 0).any():
        return None
    codes, weight, logits = situation(study)
    columns = codes.tocsc()
    tried = [tile.index for tile in sorted(study.concept_tiles(Recipe()), key=lambda tile: -tile.predictiveness)[:_CANDIDATES]]
    worst = int(np.nanargmin(group_accuracy(logits, study.labels, judged)))
    chosen: list[int] = []
    # Guided by the mean over groups: one ablation may free one group while another stays the worst.
    reached = float(np.nanmean(group_accuracy(logits, study.labels, judged)))
    while len(chosen) < _MOST_ABLATED:
        options = [concept for concept in tried if concept not in chosen]
        results = [
            float(np.nanmean(group_accuracy(without(columns, weight, logits, concept), study.labels, judged))) for concept in options
        ]
        if not results or max(results) < reached + _LEAST_GAIN:
            break
        best, reached = options[int(np.argmax(results))], max(results)
        chosen.append(best)
        logits = without(columns, weight, logits, best)
    if not chosen:
        return None
    base = situation(study)[2]
    members = np.flatnonzero((judged == worst) & (base.argmax(axis=1) != study.labels))
    effect = measure(study, chosen)
    before, after = effect.worst_group_before, effect.worst_group_after
    if before is None or after is None or after < before + _LEAST_GAIN or not len(members):
        return None
    return Shortcut(
        model=model,
        title=title,
        item=study.item(int(members[0])),
        uri=study.uris[int(members[0])],
        group=study.held_out.groups[worst],
        concepts=tuple((concept, study.name(concept, study.model.recipe)) for concept in chosen),
        worst_before=before,
        worst_after=after,
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_example(study: Study) -> Example | None:
    """The right prediction that its three weightiest concepts explain best, all of them named; None where nothing is right."""
    codes, weight, logits = situation(study)
    said = logits.argmax(axis=1)
    right = np.flatnonzero(said == study.labels) if study.labelled_images else np.arange(study.images)
    named, names = study.model.concepts.named, study.model.concepts.names
    best: tuple[float, int, int, float] | None = None
    for row in right[:: max(1, len(right) // _MISTAKES)].tolist():
        concepts = codes.indices[codes.indptr[row] : codes.indptr[row + 1]]
        contributions = codes.data[codes.indptr[row] : codes.indptr[row + 1]] * weight[said[row], concepts]
        if len(concepts) == 0 or not contributions.any():
            continue
        sizes = np.abs(contributions) / np.abs(contributions).sum()
        top = np.argsort(-contributions, kind="stable")[:3]
        # A reason that is given twice counts once.
        told = dict(zip((names[concept] for concept in concepts[top[::-1]]), top[::-1], strict=True)).values()
        readable = sum(float(sizes[at]) for at in told if named[concepts[at]] and contributions[at] > 0)
        # Three reasons read better than one that is nearly all.
        readable -= max(0.0, float(sizes[top[0]]) - 0.6)
        if best is None or readable > best[0]:
            best = readable, row, int(concepts[top[0]]), float(sizes[top[0]])
    if best is None:
        return None
    _, row, concept, share = best
    after = without(study.scored.codes.tocsc(), weight, logits, concept)[row].argmax()
    name = study.name(concept, study.model.recipe)
    return Example(row, study.item(row), study.uris[row], study.classes[said[row]], concept, name, share, study.classes[after])


def find_confusion(study: Study) -> Confusion | None:
    """The pair of classes that is confused most, and the concept that is best forbidden to the wrong one; None where nothing helps."""
    codes, weight, logits = situation(study)
    said = logits.argmax(axis=1)
    wrong = np.flatnonzero((study.labels >= 0) & (said != study.labels))
    if not len(wrong):
        return None
    pairs, counts = np.unique(np.stack([study.labels[wrong], said[wrong]]), axis=1, return_counts=True)
    truth, taken_for = pairs[:, counts.argmax()].tolist()
    rows = wrong[(study.labels[wrong] == truth) & (said[wrong] == taken_for)]
    pushes = np.asarray(codes[rows].mean(axis=0)).ravel() * weight[taken_for]
    tried = [concept for concept in np.argsort(-pushes, kind="stable")[:_CANDIDATES].tolist() if pushes[concept] > 0]
    columns = codes.tocsc()
    only = np.zeros_like(weight)
    only[taken_for] = weight[taken_for]
    gains = {concept: gain(columns, only, logits, study.labels, concept) for concept in tried}
    if not gains or max(gains.values()) <= 0:
        return None
    best = max(gains, key=lambda concept: (gains[concept], -concept))
    effect = measure(study, [best], ClassScope(study.classes[taken_for]))
    row = next((int(row) for row in rows if codes[row, best] != 0), int(rows[0]))
    return Confusion(
        truth=study.classes[truth],
        said=study.classes[taken_for],
        count=int(counts.max()),
        item=study.item(row),
        uri=study.uris[row],
        concept=best,
        name=study.name(best, study.model.recipe),
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
    )


def find_doubt(study: Study) -> Doubt | None:
    """The concept with the least certain name among those that the classes lean on; None where no concept in use has a name.

    Where known concepts tell the truth, one that is surely about something else than its name says comes first.
    """
    tiles = [tile for tile in study.concept_tiles(Recipe()) if tile.named and tile.top_class is not None and tile.frequency > 0]
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
    """For each concept the known one that it tells apart best, with the AUC."""
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
    stored = study.model.recipe
    concept = int(sweep_concepts(study.scored, stored, study.labels).newly_wrong.argmax())
    name = study.name(concept, stored)
    effect = measure_recipe(study.scored, stored, stored.append(AblateConcept(concept, name)), study.labels)
    if not len(effect.newly_wrong):
        return None
    row = int(effect.newly_wrong[0])
    fallen = max(effect.per_class, key=lambda part: part.before - part.after)
    return Carrier(
        concept,
        name,
        study.item(row),
        study.uris[row],
        study.classes[study.labels[row]],
        len(effect.corrected),
        len(effect.newly_wrong),
        fallen.name,
        fallen.before,
        fallen.after,
    )
