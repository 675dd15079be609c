"""What a model says about one image and why, edits in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from cbm.core.arrays import softmax
from cbm.editing.recipe import AblateConcept, Edit, GlobalScope, ImageScope
from cbm.model.concept_model import ConceptModel
from cbm.model.explanations import Contribution
from cbm.study.images import Subject

_PROBABILITIES = 5


@dataclass(frozen=True)
class Counterfactual:
    """The fewest concepts whose ablation changes the prediction."""

    names: tuple[str, ...]
    edits: tuple[Edit, ...]
    """What ablates them, in this image alone; everywhere for a picture from outside, which no edit can name."""
    rival: str
    """The prediction after it."""
    probability: float
    """The rival's, after it."""


@dataclass(frozen=True)
class Prediction:
    """One image's prediction with its reasons: bias + Σ contributions (hidden ones included) = logit of the target."""

    item: str
    row: int | None
    """Row of the held-out images; None for a picture from outside."""
    uri: str | None
    truth: str | None
    group: str | None
    predicted: str
    predicted_before: str
    """Without any edit."""
    target: str
    """The class whose logit the contributions explain."""
    probabilities: tuple[tuple[str, float, float], ...]
    """(class, before the edits, after them) of the classes worth showing, most probable first."""
    contributions: tuple[Contribution, ...]
    """Every concept that is not hidden, largest |contribution| first; those that matter to other classes only come last."""
    logit: float
    bias: float
    counterfactual: Counterfactual | None
    """None where no ablation changes the prediction."""

    @property
    def correct(self) -> bool | None:
        """None where the true class is not known."""
        return None if self.truth is None else self.predicted == self.truth

    @property
    def telling(self) -> tuple[Contribution, ...]:
        """The contributions that are not zero, and those that edits changed."""
        return tuple(entry for entry in self.contributions if entry.contribution != 0 or entry.edited)

    def bars(self, count: int = 9) -> tuple[Contribution, ...]:
        """The largest of them, for a chart."""
        return self.telling[:count]

    def rest(self, count: int = 9) -> float:
        """What all concepts without a bar add to the logit together."""
        return self.logit - self.bias - sum(entry.contribution for entry in self.bars(count))


def predict_image(
    model: ConceptModel,
    subject: Subject,
    before: Float32[np.ndarray, " classes"],
    names: Sequence[str],
    target: str | None = None,
) -> Prediction:
    """One image's prediction with its reasons.

    Args:
        model: under the edits in force.
        before: logits without any edit.
        names: of every concept, told apart where several are called the same; renames are taken from the model's recipe.
        target: class to explain; the one that is predicted now when absent or unknown.
    """
    shown_names = [*names]
    for concept, name in model.decisions.names.items():
        shown_names[concept] = name
    explanation = model.explain_codes(subject.codes, subject.item, target if target in model.classes else None)
    probabilities_before, after = softmax(before[None])[0], explanation.probabilities
    unedited = model.classes[int(before.argmax())]
    wanted = {explanation.predicted_class, unedited, subject.truth, explanation.target_class}
    ranked = np.argsort(-after, kind="stable").tolist()
    listed = {index for index in ranked if model.classes[index] in wanted}
    for index in ranked:
        if len(listed) >= min(_PROBABILITIES, len(ranked)):
            break
        listed.add(index)
    return Prediction(
        item=subject.item,
        row=subject.row,
        uri=subject.uri,
        truth=subject.truth,
        group=subject.group,
        predicted=explanation.predicted_class,
        predicted_before=unedited,
        target=explanation.target_class,
        probabilities=tuple(
            (model.classes[index], float(probabilities_before[index]), float(after[index])) for index in ranked if index in listed
        ),
        contributions=tuple(replace(entry, name=shown_names[entry.concept]) for entry in explanation.contributions if not entry.hidden),
        logit=explanation.logit,
        bias=explanation.bias,
        counterfactual=_counterfactual(model, subject, names, shown_names),
    )


def _counterfactual(model: ConceptModel, subject: Subject, names: Sequence[str], shown_names: Sequence[str]) -> Counterfactual | None:
    found = model.counterfactual_codes(subject.codes, subject.item)
    if not found.possible:
        return None
    scope = GlobalScope() if subject.row is None else ImageScope(subject.item)
    return Counterfactual(
        names=tuple(shown_names[concept] for concept in found.concepts),
        edits=tuple(AblateConcept(member, names[member], scope) for member in found.members),
        rival=model.classes[found.rival],
        probability=float(softmax(found.logits[None])[0][found.rival]),
    )
