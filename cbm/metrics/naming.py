"""How good the names of a dictionary are: what can be said without truth, and the share that is right where the truth is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int

from cbm.core.codes import Codes

HUB = 10
"""A name that so many latents bear names too much."""


@dataclass(frozen=True)
class NamingQuality:
    """Figures of a naming that need no truth."""

    latents: int
    named: int
    distinct: int
    """Different names in use."""
    hubs: int
    """Names that `HUB` or more latents bear."""
    largest_hub: int
    """Latents that have the most frequent name."""
    score_sum: float
    """Over the named latents."""

    @classmethod
    def of(
        cls, names: Int[np.ndarray, " latents"], scores: Float[np.ndarray, " latents"], named: Bool[np.ndarray, " latents"]
    ) -> NamingQuality:
        """
        Args:
            names: index into the vocabulary of each latent's name, with its score; those that are not `named` do not count.
        """
        bearers = np.unique(names[named], return_counts=True)[1]
        return cls(
            latents=len(names),
            named=int(named.sum()),
            distinct=len(bearers),
            hubs=int((bearers >= HUB).sum()),
            largest_hub=int(bearers.max(initial=0)),
            score_sum=float(scores[named].sum(dtype=np.float64)),
        )

    @property
    def mean_score(self) -> float:
        return self.score_sum / self.named if self.named else 0.0

    @property
    def share_named(self) -> float:
        return self.named / self.latents if self.latents else 0.0

    @property
    def share_unique(self) -> float:
        """Different names for each named latent; 1 when no two share one."""
        return self.distinct / self.named if self.named else 0.0

    def to_json(self) -> dict[str, float]:
        shares = {"mean_score": self.mean_score, "share_named": self.share_named, "share_unique": self.share_unique}
        counts = {key: value for key, value in asdict(self).items() if key != "score_sum"}
        return counts | shares


@dataclass(frozen=True)
class NamesRight:
    """Names of the latents whose true name is known, against that truth."""

    tested: int
    first: int
    """Latents whose name is exactly the true one."""
    among_candidates: int
    """Latents whose true name is among their first five candidates."""

    @property
    def at_1(self) -> float:
        return self.first / self.tested if self.tested else 0.0

    @property
    def at_5(self) -> float:
        return self.among_candidates / self.tested if self.tested else 0.0


def names_against_truth(
    candidates: Int[np.ndarray, "latents candidates"], truth: Mapping[int, int] | Iterable[tuple[int, int]]
) -> NamesRight:
    """Count right names.

    Args:
        candidates: each latent's names as indices into the vocabulary, best first.
        truth: pairs (latent, index of its true name in the vocabulary); a latent may be expected to bear several classes' names,
            each pair then counts on its own.
    """
    pairs = list(truth.items()) if isinstance(truth, Mapping) else list(truth)
    latents = np.array([latent for latent, _ in pairs], np.int64)
    true = np.array([name for _, name in pairs], np.int64)
    if not len(pairs):
        return NamesRight(0, 0, 0)
    return NamesRight(
        tested=len(pairs),
        first=int(np.sum(candidates[latents, 0] == true)),
        among_candidates=int(np.sum(np.any(candidates[latents, :5] == true[:, None], axis=1))),
    )


@dataclass(frozen=True)
class ClassLatents:
    """For each class the latent that ranks its images best."""

    latents: Int[np.ndarray, " classes"]
    """-1 where no latent is active on any image of the class."""
    average_precision: Float[np.ndarray, " classes"]


def best_latents(codes: Codes, labels: Int[np.ndarray, " images"], classes: int) -> ClassLatents:
    """The latent with the largest average precision for each class, its activation being the score.

    Average precision is that of scikit-learn: Σ_n (R_n - R_{n-1}) P_n over distinct scores, so that ties are taken together. Only latents
    that are active on an image of the class can rank any of them above the rest, and only those are tried. Activations are not negative.
    """
    rows = codes.to_csr()
    columns = rows.tocsc()
    latents, best = np.full(classes, -1, np.int64), np.zeros(classes)
    for label in range(classes):
        members = labels == label
        if not members.any():
            continue
        active = np.bincount(rows[np.flatnonzero(members)].indices, minlength=codes.size)
        # A latent's average precision is at most the share of the class on which it is active, plus the share of the class in the set.
        bound = active / members.sum() + members.mean()
        for latent in np.argsort(-bound, kind="stable"):
            if active[latent] == 0 or bound[latent] <= best[label]:
                break
            precision = _average_precision(columns, int(latent), members)
            if precision > best[label]:
                latents[label], best[label] = latent, precision
    return ClassLatents(latents, best)


def _average_precision(columns: scipy.sparse.csc_matrix, latent: int, members: Bool[np.ndarray, " images"]) -> float:
    start, stop = columns.indptr[latent], columns.indptr[latent + 1]
    scores, hits = columns.data[start:stop], members[columns.indices[start:stop]]
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], hits[order]
    last_of_tie = np.append(scores[1:] != scores[:-1], True)
    true_positives, seen = np.cumsum(hits)[last_of_tie], np.flatnonzero(last_of_tie) + 1
    # The images on which the latent is silent are one tie at the end.
    true_positives, seen = np.append(true_positives, members.sum()), np.append(seen, len(members))
    recall_steps = np.diff(np.concatenate([[0], true_positives])) / members.sum()
    return float(np.sum(recall_steps * true_positives / seen))
