"""Dense linear probes on concept activations: the DN-CBM recipe to the letter, and one that is solved to convergence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse

from cbm.core.codes import Codes
from cbm.core.errors import Cancelled
from cbm.core.progress import CancelCheck, Progress, ProgressCallback
from cbm.heads.base import LinearHead, as_csr, checked_labels, stratified_split
from cbm.heads.dense import DenseSettings
from cbm.heads.dn_cbm import DnCbmSettings

ROW_NORM = 10.0
"""Scale at which the converged probe sees its rows, so that one list of strengths serves every dictionary."""


@dataclass(frozen=True)
class DnCbmProbeConfig(DnCbmSettings):
    seed: int = 0


DN_CBM_PROBES: Mapping[str, DnCbmProbeConfig] = MappingProxyType(
    {
        "imagenet": DnCbmProbeConfig(learning_rate=1e-3, l1=1.0),
        "places365": DnCbmProbeConfig(learning_rate=1e-3, l1=1.0),
        "cifar10": DnCbmProbeConfig(learning_rate=1e-3, l1=1.0),
        "cifar100": DnCbmProbeConfig(learning_rate=1e-2, l1=1.0),
        "waterbirds100": DnCbmProbeConfig(learning_rate=1e-1, l1=10.0),
    }
)
"""The authors' constants by data set (method_utils.py); for a few thousand rows of other data CIFAR-100's, the config's defaults, do."""


@dataclass(frozen=True)
class ConvergedProbeConfig(DenseSettings):
    seed: int = 0


DenseProbeConfig = DnCbmProbeConfig | ConvergedProbeConfig


def fit_dense_probe(
    codes: Codes | sparse.csr_matrix,
    labels: np.ndarray,
    n_classes: int,
    config: DenseProbeConfig | None = None,
    *,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> LinearHead:
    """Fit a dense head; the converged one unless a DnCbmProbeConfig asks for the published recipe. `codes` stay sparse throughout.

    Raises InvalidInputError where labels and rows do not fit, Cancelled when told to stop.
    """
    config = config or ConvergedProbeConfig()
    labels = checked_labels(labels, codes.shape[0] if sparse.issparse(codes) else len(codes), n_classes)
    if isinstance(config, DnCbmProbeConfig):
        return _fit_dn_cbm(codes if isinstance(codes, Codes) else Codes.from_csr(codes), labels, n_classes, config, progress, cancelled)
    return _fit_converged(as_csr(codes), labels, n_classes, config, progress, cancelled)


def _fit_dn_cbm(
    codes: Codes,
    labels: np.ndarray,
    n_classes: int,
    config: DnCbmProbeConfig,
    progress: ProgressCallback | None,
    cancelled: CancelCheck | None,
) -> LinearHead:
    generator = torch.Generator().manual_seed(config.seed)
    bound = 1 / math.sqrt(codes.size)
    # nn.Linear's initial range, in the layout [concepts, classes] that a sparse row gathers from.
    weight = torch.empty(codes.size, n_classes).uniform_(-bound, bound, generator=generator).requires_grad_()
    optimiser = torch.optim.Adam([weight], lr=config.learning_rate, fused=True)
    indices, values, targets = torch.from_numpy(codes.indices), torch.from_numpy(codes.values), torch.from_numpy(labels)
    for epoch in range(config.epochs):
        if cancelled is not None and cancelled():
            raise Cancelled("fitting the dense probe was cancelled")
        total = 0.0
        for rows in torch.randperm(len(codes), generator=generator).split(config.batch_size):
            logits = F.embedding_bag(indices[rows], weight, per_sample_weights=values[rows], mode="sum")
            loss = F.cross_entropy(logits, targets[rows]) + config.l1 * weight.abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        if progress is not None:
            progress(Progress(epoch + 1, config.epochs, "dense probe (DN-CBM)", {"loss": total / len(codes)}))
    details = {"solver": "dn-cbm", **asdict(config)}
    return LinearHead(np.ascontiguousarray(weight.detach().numpy().T), np.zeros(n_classes, np.float32), "dense", details)


def _fit_converged(
    matrix: sparse.csr_matrix,
    labels: np.ndarray,
    n_classes: int,
    config: ConvergedProbeConfig,
    progress: ProgressCallback | None,
    cancelled: CancelCheck | None,
) -> LinearHead:
    # One scale for all concepts makes the strengths mean the same for every dictionary; a scale per concept would blow rare ones up.
    scale = ROW_NORM / math.sqrt(max(float(np.square(matrix.data, dtype=np.float64).sum()) / matrix.shape[0], 1e-30))
    fit = fit_logistic_regression(matrix * np.float32(scale), labels, config, "dense probe", progress, cancelled)
    weight, bias = spread_over_classes(fit.weight, fit.bias, fit.present, n_classes)
    details = {"solver": "l-bfgs", "inverse_strength": fit.inverse_strength, "held_out_accuracy": fit.held_out_accuracy, **asdict(config)}
    return LinearHead(np.ascontiguousarray(weight * scale, dtype=np.float32), bias.astype(np.float32), "dense", details)


@dataclass(frozen=True)
class LogisticFit:
    """A converged multinomial regression over the classes that have rows."""

    weight: np.ndarray
    bias: np.ndarray
    present: np.ndarray
    """Class numbers of the rows of `weight`."""
    inverse_strength: float
    held_out_accuracy: float


def fit_logistic_regression(
    features: sparse.csr_matrix | np.ndarray,
    labels: np.ndarray,
    config: ConvergedProbeConfig,
    message: str,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> LogisticFit:
    """L2 multinomial logistic regression, C picked on a stratified held-out share of the rows, then refitted on all of them.

    Picked by cross-entropy: on a few hundred held-out rows the accuracies of all strengths lie within their noise, the entropies do not.
    """
    from sklearn.linear_model import LogisticRegression

    kept, held = stratified_split(labels, config.held_out, config.seed)
    choices = config.inverse_strengths if len(held) and len(np.unique(labels[kept])) > 1 else config.inverse_strengths[:1]
    best, best_entropy = (float("nan"), choices[0]), float("inf")
    # Warm starts from the strongest penalty: each optimum is near the next.
    model = LogisticRegression(max_iter=config.max_iterations, tol=1e-4, warm_start=True)
    for step, choice in enumerate(choices):
        if cancelled is not None and cancelled():
            raise Cancelled(f"fitting the {message} was cancelled")
        if len(choices) > 1:
            model.set_params(C=choice).fit(features[kept], labels[kept])
            probabilities = model.predict_proba(features[held])
            columns = np.searchsorted(model.classes_, labels[held])
            entropy = float(-np.log(np.maximum(probabilities[np.arange(len(held)), columns], 1e-12)).mean())
            if entropy < best_entropy:
                best_entropy, best = entropy, (float(np.mean(probabilities.argmax(axis=1) == columns)), choice)
        if progress is not None:
            progress(Progress(step + 1, len(choices) + 1, message, {"held_out_accuracy": best[0]}))
    model = LogisticRegression(C=best[1], max_iter=config.max_iterations, tol=1e-4).fit(features, labels)
    if progress is not None:
        progress(Progress(len(choices) + 1, len(choices) + 1, message, {"held_out_accuracy": best[0]}))
    weight, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        # scikit-learn gives one row for two classes: the difference of their logits.
        weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
    return LogisticFit(weight, bias, model.classes_, best[1], best[0])


def spread_over_classes(weight: np.ndarray, bias: np.ndarray, present: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of all classes: one without rows gets none, and a bias far below the others, so that it is never predicted."""
    full = np.zeros((n_classes, weight.shape[1]), weight.dtype)
    full[present] = weight
    full_bias = np.full(n_classes, bias.min() - 20.0)
    full_bias[present] = bias
    return full, full_bias
