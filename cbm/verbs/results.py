"""What each verb returns; `record()` is what the command line prints under `--json`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses become objects, arrays lists, and numbers that are not finite become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


@dataclass(frozen=True)
class VerbResult:
    """Base of all results."""

    def record(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return plain(self)


@dataclass(frozen=True)
class Embedded(VerbResult):
    embeddings: str
    count: int
    reused: int
    """Images whose embedding was already in the store."""
    rejected: int
    images_per_second: float
    notes: tuple[str, ...] = ()
    """How the source was read where that is not plain, and why the first of the rejected files were."""


@dataclass(frozen=True)
class Imported(VerbResult):
    embeddings: str
    count: int
    dim: int


@dataclass(frozen=True)
class VocabularyMade(VerbResult):
    vocabulary: str
    count: int


@dataclass(frozen=True)
class Discovered(VerbResult):
    dictionary: str
    fvu: float
    """On vectors held out of training; see `held_out`."""
    cosine: float
    """Mean cosine of reconstruction and embedding, both about the mean."""
    l0: float
    dead: float
    samples_per_second: float
    seconds: float
    held_out: int
    baselines: Mapping[str, Mapping[str, float]]
    """The same figures for predict-mean, PCA, k-means and random directions."""


@dataclass(frozen=True)
class Named(VerbResult):
    concepts: str
    named: int
    """Concepts whose best name scores above the threshold."""
    unique: int
    """Different names among them."""
    mean_score: float


@dataclass(frozen=True)
class PathPoint(VerbResult):
    nec: float
    reached: bool
    accuracy: float | None


@dataclass(frozen=True)
class Trained(VerbResult):
    model: str
    accuracy: float
    nec_path: tuple[PathPoint, ...]
    linear_probe: float
    random_concepts: tuple[PathPoint, ...]
    zero_shot: float | None
    """None where no backbone weights are at hand to encode the class names."""
    dense: float
    """Accuracy of the dense head on the same concepts."""


@dataclass(frozen=True)
class Evaluated(VerbResult):
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class ContributionLine(VerbResult):
    concept: int
    name: str
    activation: float
    weight: float
    contribution: float
    share: float


@dataclass(frozen=True)
class Explained(VerbResult):
    item: str
    prediction: str
    probability: float
    target: str
    """The class that the logit and the contributions are about."""
    logit: float
    bias: float
    contributions: tuple[ContributionLine, ...]
    rest: float
    """Sum of the contributions that are not listed: bias + contributions + rest = logit."""
    counterfactual: tuple[str, ...] | None
    """The fewest concepts whose ablation changes the prediction; None where none does."""


@dataclass(frozen=True)
class Edited(VerbResult):
    model: str
    accuracy_before: float
    accuracy_after: float
    corrected: int
    newly_wrong: int
    worst_group: Mapping[str, float] | None
    """Worst-group accuracy before and after, where the images carry groups."""
    per_class: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Exported(VerbResult):
    bundle: str
    files: tuple[str, ...]
    max_abs_difference: float | None
    """Largest difference of exported and native logits; None where no format could be run."""


@dataclass(frozen=True)
class ImportedBundle(VerbResult):
    model: str
    classes: int
    concepts: int
    images: int
    """That it is shown and measured with here; 0 where none were chosen."""
    accuracy: float | None
    """On those of them whose label it knows; None without any."""
    on: str | None


@dataclass(frozen=True)
class Demonstrated(VerbResult):
    embeddings: str
    dictionary: str
    concepts: str
    model: str
    bundle: str
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Built(VerbResult):
    """The whole line from images to a model; what was not made is None, and `notes` say why."""

    embeddings: str
    dictionary: str
    vocabulary: str
    concepts: str
    model: str | None
    """None where the images carry no labels of two classes."""
    images: int
    classes: int
    rejected: int
    discovered: Discovered
    named: Named
    trained: Trained | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SweepRun(VerbResult):
    """One dictionary of a sweep."""

    dictionary: str
    width: int
    k: int
    seed: int
    fvu: float
    cosine: float
    l0: float
    dead: float
    stability: float | None
    """Mean over the other seeds of the same width and k of how closely this run's living directions are found again (cosine of the
    nearest, 0 to 1), weighted by how often each fires; None where there is no other seed."""
    seconds: float
    """Time it took to train, also where it had been trained before."""


@dataclass(frozen=True)
class Swept(VerbResult):
    runs: tuple[SweepRun, ...]
    """In the order of width, k, seed."""
    suggested: str | None
    """The dictionary worth taking: see `cbm.verbs.sweeping.suggest`."""
