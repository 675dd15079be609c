"""A model beside images, as metrics see them, and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cbm.core.codes import Codes
from cbm.metrics.part import Evaluation
from cbm.names.names import same_name_key

if TYPE_CHECKING:
    from cbm.study.study import Study


def evaluation_of(study: Study) -> Evaluation:
    """The plain arrays that metrics are computed from, with the edits that the model was stored with."""
    model, images = study.model, study.held_out
    class_of = {same_name_key(name): number for number, name in enumerate(model.classes)}
    head = model.effective_head
    return Evaluation(
        bottleneck=model.bottleneck,
        embeddings=images.embeddings,
        codes=Codes.from_csr(study.scored.codes),
        weight=np.ascontiguousarray(head.weight.T, np.float32),
        bias=np.asarray(head.bias, np.float32),
        names=model.names,
        named=np.asarray(model.concepts.named),
        class_of_name=np.array([class_of.get(same_name_key(name), -1) for name in model.names], np.int64),
        classes=model.classes,
        predicted=study.predicted(),
        labels=study.labels,
        groups=tuple(images.groups),
        group_of=images.group_labels,
        known_concepts=tuple(images.concept_names),
        truth=images.truth,
        linear_probe=study.linear_probe,
    )


@dataclass(frozen=True)
class Figure:
    """One number about a model, in words."""

    words: str
    value: float


def concept_figures(study: Study) -> list[Figure]:
    """What the registered metrics say of the concepts in numbers that a reader should see, in the order of the registry."""
    from cbm.registry import METRICS

    evaluation = evaluation_of(study)
    found = []
    for part in METRICS:
        if part.words and part.applies(evaluation):
            figures = part.measure(evaluation, part.settings())
            values = ((words, figures.get(name)) for name, words in part.words.items())
            found += [Figure(words, float(value)) for words, value in values if value is not None]
    return found
