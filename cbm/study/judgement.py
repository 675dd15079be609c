"""What the model says about one image and why, under the visitor's edits. No Streamlit in here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from cbm.core.arrays import softmax
from cbm.editing.recipe import AblateConcept, Edit, GlobalScope, ImageScope, Recipe
from cbm.model.concept_model import ConceptModel
from cbm.study.study import Study
from cbm.study.subject import Subject

_PROBABILITIES = 5
_KEPT_MODELS = 4


@dataclass(frozen=True)
class Part:
    """One concept of the image."""

    concept: int
    name: str
    activation: float
    contribution: float
    """To the target's logit."""
    share: float
    """Of the target's score: contribution / Σ |contributions|, signed, −1 to 1."""
    members: tuple[int, ...]
    edited: bool


@dataclass(frozen=True)
class Counter:
    """The fewest concepts whose ablation changes the prediction."""

    names: tuple[str, ...]
    edits: tuple[Edit, ...]
    """What ablates them, in this image alone; everywhere for an uploaded image, which no edit can name."""
    rival: str
    """The prediction after it."""
    share: float
    """The rival's probability after it."""


@dataclass(frozen=True)
class Judgement:
    """The prediction with its reasons."""

    predicted: str
    predicted_before: str
    """Without any edit."""
    truth: str | None
    target: str
    """The class whose score the parts explain."""
    probabilities: tuple[tuple[str, float, float], ...]
    """(class, before the edits, after them), most probable first."""
    parts: tuple[Part, ...]
    """Every concept that is not hidden, largest |contribution| first; those that matter to other classes only come last."""
    logit: float
    bias: float
    counter: Counter | None
    """None where no ablation changes the prediction."""

    @property
    def correct(self) -> bool | None:
        return None if self.truth is None else self.predicted == self.truth


@lru_cache(maxsize=_KEPT_MODELS)
def _edited(study: Study, recipe: Recipe) -> ConceptModel:
    """The model under a recipe, kept because folding the edits of a large model takes longer than all else on the page."""
    return study.model.with_recipe(recipe)


def judge(study: Study, subject: Subject, recipe: Recipe, target: str | None) -> Judgement:
    """The prediction of an image under the visitor's edits, explained for `target` (the predicted class where absent or unknown)."""
    model = _edited(study, recipe)
    explanation = model.explain_codes(subject.codes, subject.item, target if target in study.classes else None)
    before = _probabilities_before(study, subject)
    after = explanation.probabilities
    unedited = study.classes[int(before.argmax())]
    wanted = {explanation.predicted_class, unedited, subject.truth, explanation.target_class}
    ranked = [study.classes[index] for index in np.argsort(-after, kind="stable")]
    listed = [name for name in ranked if name in wanted]
    listed += [name for name in ranked if name not in wanted][: max(0, min(_PROBABILITIES, len(ranked)) - len(listed))]
    rank = {name: position for position, name in enumerate(ranked)}
    index = {name: position for position, name in enumerate(study.classes)}
    return Judgement(
        predicted=explanation.predicted_class,
        predicted_before=unedited,
        truth=subject.truth,
        target=explanation.target_class,
        probabilities=tuple((name, float(before[index[name]]), float(after[index[name]])) for name in sorted(listed, key=rank.__getitem__)),
        parts=tuple(
            Part(
                entry.concept,
                study.name(entry.concept, recipe),
                entry.activation,
                entry.contribution,
                entry.share,
                entry.members,
                edited=entry.activation != entry.activation_before,
            )
            for entry in explanation.contributions
            if not entry.hidden
        ),
        logit=explanation.logit,
        bias=explanation.bias,
        counter=_counter(study, model, subject, recipe),
    )


def _probabilities_before(study: Study, subject: Subject) -> np.ndarray:
    if subject.row is not None:
        return softmax(study.scored.base_logits[subject.row : subject.row + 1])[0]
    head = study.model.head
    return softmax(np.asarray(subject.codes @ head.weight.T + head.bias, np.float32))[0]


def _counter(study: Study, model: ConceptModel, subject: Subject, recipe: Recipe) -> Counter | None:
    found = model.counterfactual_codes(subject.codes, subject.item)
    if not found.possible:
        return None
    scope = GlobalScope() if subject.row is None else ImageScope(subject.item)
    return Counter(
        names=tuple(study.name(concept, recipe) for concept in found.concepts),
        edits=tuple(AblateConcept(member, study.concept_names[member], scope) for member in found.members),
        rival=study.classes[found.rival],
        share=float(softmax(found.logits[None])[0][found.rival]),
    )
