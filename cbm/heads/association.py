"""The association head of LaBo: each class is a weighted mean of concepts, without negative weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from cbm.core.run import Run
from cbm.core.settings import Range
from cbm.heads.part import HeadPart, HeadRows

if TYPE_CHECKING:
    import numpy as np
    import torch
    from jaxtyping import Float32, Int64

    from cbm.core.codes import Codes
    from cbm.heads.base import LinearHead
    from cbm.heads.descent import Activations


@dataclass(frozen=True)
class AssociationSettings:
    """`logits = scale · a · Wᵀ` with `W = softmax(A)` over the concepts of a class, and no bias; cross-entropy by Adam on A."""

    scale: Annotated[float, Range(0)] = 100.0
    """Factor of the logits, on activations scaled to rows of root-mean-square norm 1."""
    own: float = 1.0
    """Where A starts for a concept and the class in which it is strongest on average; 0 for all other classes."""
    step: Annotated[float, Range(0)] = 0.05
    """Adam's learning rate. The paper's 0.000005 to 0.0001 go with up to 15,000 passes."""
    passes: Annotated[int, Range(1)] = 300
    """Passes over the training rows, at most."""
    rows_per_step: Annotated[int, Range(1)] = 512
    """Training rows in each step of Adam."""
    held_out: Annotated[float, Range(0, 0.9)] = 0.2
    """Share of the training rows that decides when to stop. One row of each class always remains for training."""
    patience: Annotated[int, Range(1)] = 20
    """Passes without a lower loss on the held-out rows after which training stops."""


def fit(rows: HeadRows, settings: AssociationSettings, run: Run) -> LinearHead:
    """The association matrix with the least cross-entropy on held-out rows."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    from cbm.heads.base import LinearHead, as_csr, checked_labels, stratified_split
    from cbm.heads.descent import Activations, Descent, descend
    from cbm.heads.scaling import Scaling

    matrix = as_csr(rows.codes)
    labels = checked_labels(rows.labels, matrix.shape[0], rows.classes)
    scaling = Scaling.common(matrix, settings.scale)
    kept, held = stratified_split(labels, settings.held_out, run.seed)
    training, others = Activations(matrix[kept], scaling), Activations(matrix[held], scaling)
    targets, other_targets = torch.from_numpy(labels[kept]), torch.from_numpy(labels[held])
    association = torch.from_numpy(strongest_class(rows.codes, labels, rows.classes) * np.float32(settings.own)).requires_grad_()
    epochs = descend(
        [association],
        lambda batch: cross_entropy(association, training, targets, batch),
        len(kept),
        Descent(settings.step, settings.passes, settings.rows_per_step, settings.patience),
        run,
        "association head",
        (lambda: float(cross_entropy(association, others, other_targets, None))) if len(held) else None,
    )
    weight = F.softmax(association.detach().double(), dim=0).numpy().T * scaling.factor
    weight[np.bincount(labels, minlength=rows.classes) == 0] = 0
    details = {"solver": "association", "epochs": epochs, "seed": run.seed, **asdict(settings)}
    return LinearHead(np.ascontiguousarray(weight, dtype=np.float32), _bias(labels, rows.classes), "dense", details)


def cross_entropy(
    association: Float32[torch.Tensor, "concepts classes"],
    activations: Activations,
    targets: Int64[torch.Tensor, " rows"],
    batch: torch.Tensor | None,
) -> torch.Tensor:
    """Mean cross-entropy of a batch, or of all rows; nats."""
    import torch.nn.functional as F

    logits = activations.logits(F.softmax(association, dim=0), batch)
    return F.cross_entropy(logits, targets if batch is None else targets[batch])


def strongest_class(codes: Codes, labels: np.ndarray, classes: int) -> Float32[np.ndarray, "concepts classes"]:
    """1 for each concept and the class whose rows have its largest mean activation, 0 elsewhere; nowhere where it is never active."""
    import numpy as np
    from scipy import sparse

    counts = np.bincount(labels, minlength=classes)
    share = 1 / np.maximum(counts, 1)
    membership = sparse.csr_matrix((share[labels], (labels, np.arange(len(labels)))), shape=(classes, len(labels)))
    means = (membership @ codes.to_csr()).toarray()
    means[counts == 0] = -np.inf
    strongest = np.zeros((codes.size, classes), np.float32)
    strongest[np.arange(codes.size), means.argmax(axis=0)] = np.ptp(means[counts > 0], axis=0) > 0
    return strongest


def _bias(labels: np.ndarray, classes: int) -> Float32[np.ndarray, " classes"]:
    """0, and far below it for a class without rows, whose association says nothing."""
    import numpy as np

    return np.where(np.bincount(labels, minlength=classes) > 0, 0, -1e4).astype(np.float32)


PART = HeadPart(
    "association",
    "Each class is a weighted mean of concepts, without negative weights: what supports a class, never what counts against it. Meant for "
    "few labelled images.",
    AssociationSettings,
    label="Association",
    fit=fit,
    dense=True,
    bound=True,
)
