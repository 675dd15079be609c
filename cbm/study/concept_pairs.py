"""Which concepts two models share: by the direction that they have in the embedding, and by their names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from cbm.core.errors import MismatchError
from cbm.editing.recipe import Recipe
from cbm.model.concept_model import ConceptModel
from cbm.names.names import same_name_key
from cbm.study.study import Study

LEAST_COSINE = 0.7
"""From this cosine on two directions count as one concept, as is usual between sparse autoencoders of different seeds."""
_BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of concepts, and those without a partner. Shared by all visitors: the visitor's renames do not matter."""

    left: Int[np.ndarray, " pairs"]
    right: Int[np.ndarray, " pairs"]
    cosine: Float32[np.ndarray, " pairs"]
    """Of the decoder directions; NaN where the embeddings are not the same."""
    by_name: Bool[np.ndarray, " pairs"]
    """Paired by their names, not by their directions."""
    same_name: Bool[np.ndarray, " pairs"]
    """Both have a good name, and it is the same."""
    by: str
    """`dictionary` (one and the same), `direction`, or `name` (no common embedding)."""
    only_left: Int[np.ndarray, " unpaired_left"]
    """Concepts that no pair has."""
    only_right: Int[np.ndarray, " unpaired_right"]

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True)
class ConceptPair:
    """One shared concept, with what it carries in each model."""

    left: int
    right: int
    left_name: str
    right_name: str
    cosine: float | None
    by_name: bool
    left_share: float
    """Mean share of the contributions in the first model, 0 to 1, edits in force."""
    right_share: float


@dataclass(frozen=True)
class LoneConcept:
    """A concept that one of the models has for itself."""

    index: int
    name: str
    share: float


@dataclass(frozen=True)
class PairList:
    """The shared concepts that some class uses, those that count most differently first, and those that stand alone."""

    pairs: tuple[ConceptPair, ...]
    only_left: tuple[LoneConcept, ...]
    only_right: tuple[LoneConcept, ...]
    used: tuple[int, int]
    """How many concepts each model uses."""


def match_concepts(left: ConceptModel, right: ConceptModel, least: float = LEAST_COSINE) -> Matches:
    """Pairs that are each other's nearest direction, of at least this cosine; of the rest, those of one name, nearest first.

    By name alone where the embeddings are not the same.
    """
    first, second = _directions(left), _directions(right)
    names = [np.array([same_name_key(name) for name in model.concepts.names]) for model in (left, right)]
    named = [model.concepts.named for model in (left, right)]
    if first is None or second is None or first.shape[1] != second.shape[1] or not _same_backbone(left, right):
        pairs, by = np.zeros((0, 2), np.int64), "name"
        first = second = None
    elif first.shape == second.shape and np.array_equal(first, second):
        pairs, by = np.repeat(np.arange(len(first))[:, None], 2, axis=1), "dictionary"
    else:
        pairs, by = _mutual(first, second, least), "direction"
    more = np.zeros((0, 2), np.int64) if by == "dictionary" else _by_name(names, named, pairs, first, second)
    both = np.concatenate([pairs, more])
    return Matches(
        both[:, 0],
        both[:, 1],
        _cosines(first, second, both),
        np.arange(len(both)) >= len(pairs),
        (names[0][both[:, 0]] == names[1][both[:, 1]]) & named[0][both[:, 0]] & named[1][both[:, 1]],
        by,
        np.setdiff1d(np.arange(left.head.size), both[:, 0]),
        np.setdiff1d(np.arange(right.head.size), both[:, 1]),
    )


def pair_list(left: Study, right: Study, recipes: tuple[Recipe, Recipe], matches: Matches) -> PairList:
    """The matches in words and figures, edits in force."""
    shares = contribution_shares(left, recipes[0]), contribution_shares(right, recipes[1])
    used = [share > 0 for share in shares]
    counted = used[0][matches.left] | used[1][matches.right]
    pairs = [
        ConceptPair(
            first,
            second,
            left.name(first, recipes[0]),
            right.name(second, recipes[1]),
            None if np.isnan(cosine) else float(cosine),
            by_name,
            float(shares[0][first]),
            float(shares[1][second]),
        )
        for first, second, cosine, by_name in zip(
            *(part[counted].tolist() for part in (matches.left, matches.right, matches.cosine, matches.by_name)), strict=True
        )
    ]
    pairs.sort(key=lambda pair: (-abs(pair.left_share - pair.right_share), -max(pair.left_share, pair.right_share)))
    return PairList(
        tuple(pairs),
        _alone(left, recipes[0], matches.only_left, shares[0]),
        _alone(right, recipes[1], matches.only_right, shares[1]),
        (int(used[0].sum()), int(used[1].sum())),
    )


def contribution_shares(study: Study, recipe: Recipe) -> Float[np.ndarray, " concepts"]:
    """How much of all contributions to all class scores each concept carries on the held-out images; sums to 1."""
    weight = np.abs(study.scored.head_for(recipe).weight).sum(axis=1)
    size = np.asarray(abs(study.scored.codes).sum(axis=0)).ravel() * weight
    return size / max(float(size.sum()), 1e-30)


def _alone(study: Study, recipe: Recipe, concepts: np.ndarray, shares: np.ndarray) -> tuple[LoneConcept, ...]:
    used = concepts[shares[concepts] > 0]
    order = used[np.argsort(-shares[used], kind="stable")]
    return tuple(LoneConcept(concept, study.name(concept, recipe), float(shares[concept])) for concept in order.tolist())


def _directions(model: ConceptModel) -> Float32[np.ndarray, "concepts dim"] | None:
    """Unit rows."""
    return np.asarray(model.bottleneck.directions, np.float32) if model.bottleneck.abilities.directions else None


def _same_backbone(left: ConceptModel, right: ConceptModel) -> bool:
    if left.backbone is None or right.backbone is None:
        return False
    try:
        left.backbone.require_match(right.backbone, "the two models")
    except MismatchError:
        return False
    return True


def _by_name(
    names: list[np.ndarray], named: list[np.ndarray], taken: np.ndarray, first: np.ndarray | None, second: np.ndarray | None
) -> Int[np.ndarray, "pairs 2"]:
    """Pairs of one good name among the concepts that are not `taken`: within a name, such that the cosines sum to the most."""
    from scipy.optimize import linear_sum_assignment

    groups: list[dict[str, list[int]]] = []
    for side in (0, 1):
        free = named[side].copy()
        free[taken[:, side]] = False
        found: dict[str, list[int]] = {}
        for concept in np.flatnonzero(free).tolist():
            found.setdefault(str(names[side][concept]), []).append(concept)
        groups.append(found)
    pairs: list[tuple[int, int]] = []
    for name, left in groups[0].items():
        right = groups[1].get(name, [])
        if not right:
            continue
        near = np.zeros((len(left), len(right))) if first is None or second is None else first[left] @ second[right].T
        pairs += [(left[row], right[column]) for row, column in zip(*linear_sum_assignment(-near), strict=True)]
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _cosines(first: np.ndarray | None, second: np.ndarray | None, pairs: np.ndarray) -> Float32[np.ndarray, " pairs"]:
    if first is None or second is None:
        return np.full(len(pairs), np.nan, np.float32)
    return np.einsum("pd,pd->p", first[pairs[:, 0]], second[pairs[:, 1]])


def _mutual(first: np.ndarray, second: np.ndarray, least: float) -> Int[np.ndarray, "pairs 2"]:
    nearest = np.zeros(len(first), np.int64)
    cosine = np.zeros(len(first), np.float32)
    back, best_back = np.zeros(len(second), np.int64), np.full(len(second), -np.inf, np.float32)
    for start in range(0, len(first), _BLOCK):
        block = first[start : start + _BLOCK] @ second.T
        nearest[start : start + _BLOCK] = block.argmax(axis=1)
        cosine[start : start + _BLOCK] = block.max(axis=1)
        rows = block.argmax(axis=0)
        values = block[rows, np.arange(len(second))]
        better = values > best_back
        back[better], best_back[better] = rows[better] + start, values[better]
    mutual = (back[nearest] == np.arange(len(first))) & (cosine >= least)
    return np.stack([np.flatnonzero(mutual), nearest[mutual]], axis=1)
