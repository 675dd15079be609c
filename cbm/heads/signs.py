"""KnoBo's head: weights that follow what a person, or a text, says of the sign of each concept for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Float32
    from scipy import sparse

    from cbm.heads.base import LinearHead
    from cbm.heads.scaling import Scaling


@dataclass(frozen=True)
class SignSettings:
    """`cross-entropy + strength · mean |tanh(W) - S|` over the pairs that the table names, on activations of deviation 1."""

    signs: str | Mapping[str, Mapping[str, int]] | None = None
    """Table of signs: a .csv with a row for each class and a column for each concept, a .json, or JSON text such as {"zebra":
    {"striped": 1}}. 1: the concept supports the class; -1: it counts against it; 0: it has nothing to do with it; left out: free."""
    strength: Annotated[float, Range(0)] = 1.0
    """Weight of the signs against the labels."""
    sign_step: Annotated[float, Range(0)] = 1e-3
    """Adam's learning rate."""
    sign_passes: Annotated[int, Range(1)] = 200
    """Passes over the training rows."""
    sign_rows: Annotated[int, Range(1)] = 64
    """Training rows in each step of Adam."""

    def __post_init__(self) -> None:
        """A file is read at once and kept as text: a model's request then says its signs, whatever becomes of the file."""
        from cbm.heads.sign_table import as_text, read_signs

        if self.signs is not None:
            object.__setattr__(self, "signs", as_text(read_signs(self.signs)))


def fit(rows: HeadRows, settings: SignSettings, run: Run) -> LinearHead:
    """
    Raises:
        InvalidInputError: no table of signs, or one of other classes or concepts.
    """
    import numpy as np

    from cbm.heads.base import LinearHead, as_csr, checked_labels
    from cbm.heads.dense_probe import spread_over_classes
    from cbm.heads.scaling import Scaling

    wanted = wanted_signs(rows, settings)
    matrix = as_csr(rows.codes)
    labels = checked_labels(rows.labels, matrix.shape[0], rows.classes)
    present, compact = np.unique(labels, return_inverse=True)
    scaling = Scaling.standard(matrix)
    weight, bias = _descend(matrix, compact, wanted[present], scaling, settings, run)
    raw, raw_bias = scaling.fold(weight, bias)
    full, full_bias = spread_over_classes(raw, raw_bias, present, rows.classes)
    expected = np.nan_to_num(wanted[present])
    decided = expected != 0
    details = {
        "solver": "signs",
        "named_pairs": int(np.isfinite(wanted).sum()),
        "respected": float((np.sign(weight[decided]) == expected[decided]).mean()) if decided.any() else None,
        "seed": run.seed,
        **asdict(settings),
    }
    return LinearHead(full.astype(np.float32), full_bias.astype(np.float32), "dense", details)


def wanted_signs(rows: HeadRows, settings: SignSettings) -> Float32[np.ndarray, "classes concepts"]:
    """The table for these classes and concepts; NaN where it says nothing."""
    from cbm.heads.sign_table import read_signs, sign_matrix

    if settings.signs is None:
        examples = f" Classes: {', '.join(rows.class_names[:3])}, …; concepts: {', '.join(rows.concept_names[:3])}, …."
        raise InvalidInputError(
            "The head signs needs a table of signs; give --signs with a .csv: a row for each class, a column for each concept, and 1, 0, "
            f"-1 or nothing in each cell.{examples if rows.class_names and rows.concept_names else ''}"
        )
    if len(rows.class_names) != rows.classes or len(rows.concept_names) != rows.codes.size:
        raise InvalidInputError(
            f"Signs go by names: give the names of all {rows.classes} classes and {rows.codes.size} concepts, not "
            f"{len(rows.class_names)} and {len(rows.concept_names)}."
        )
    return sign_matrix(read_signs(settings.signs), rows.class_names, rows.concept_names)


def penalty(weight: Float32[torch.Tensor, "concepts classes"], wanted: Float32[torch.Tensor, "concepts classes"]) -> torch.Tensor:
    """Mean |tanh(W) - S| over the pairs where S is not NaN; 0 where it always is."""
    named = ~wanted.isnan()
    return (weight.tanh()[named] - wanted[named]).abs().sum() / named.sum().clamp(min=1)


def _descend(
    matrix: sparse.csr_matrix, labels: np.ndarray, wanted: np.ndarray, scaling: Scaling, settings: SignSettings, run: Run
) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np
    import torch
    import torch.nn.functional as F

    from cbm.heads.descent import Activations, Descent, descend

    activations, targets = Activations(matrix, scaling), torch.from_numpy(labels)
    prior = torch.from_numpy(np.ascontiguousarray(wanted.T))
    weight = torch.zeros(matrix.shape[1], len(wanted), requires_grad=True)
    bias = torch.zeros(len(wanted), requires_grad=True)

    def loss(batch: torch.Tensor) -> torch.Tensor:
        error = F.cross_entropy(activations.logits(weight, batch) + bias, targets[batch])
        return error + settings.strength * penalty(weight, prior)

    how = Descent(settings.sign_step, settings.sign_passes, settings.sign_rows)
    descend([weight, bias], loss, len(labels), how, run, "head with signs")
    return weight.detach().numpy().T.astype(np.float64), bias.detach().numpy().astype(np.float64)


PART = HeadPart(
    "signs",
    "Weights follow a table that says which concepts support a class and which count against it: your knowledge beside the labels.",
    SignSettings,
    label="Signs",
    fit=fit,
    dense=True,
    bound=True,
)
