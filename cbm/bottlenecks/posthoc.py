"""Post-hoc CBM: concept vectors from words, or from images that have a concept and images that have not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cbm.bottlenecks.part import FittedBottleneck, Material, MethodPart
from cbm.bottlenecks.word_filters import WordSettings
from cbm.core.run import Run
from cbm.core.settings import Range

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float


@dataclass(frozen=True)
class PosthocSettings(WordSettings):
    concepts: Literal["words", "known"] = "words"
    """Where concept vectors come from: the text embeddings of words, or a linear SVM for each known concept of these images."""
    examples: Annotated[int, Range(2)] = 100
    """Images with a known concept, and as many without it, that its SVM learns from; fewer where there are fewer."""
    inverse_strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """The SVM's C: those to choose from, by accuracy on a held-out fifth of the examples."""


def fit(material: Material, settings: PosthocSettings, run: Run) -> FittedBottleneck:
    """Projection of the embedding on every concept's vector: `a_k = (c_k · x + b_k) / |c_k|`, standardised on the training images."""
    from cbm.bottlenecks.linear import LinearConcepts

    if settings.concepts == "known":
        return _from_known(material, settings, run)
    from cbm.bottlenecks.word_filters import choose_words

    chosen = choose_words(material, settings)
    weight = material.required_words().embeddings[chosen.rows]
    return FittedBottleneck(LinearConcepts.standardised(weight, chosen.names, material.embeddings), chosen.figures)


def _from_known(material: Material, settings: PosthocSettings, run: Run) -> FittedBottleneck:
    import numpy as np

    from cbm.bottlenecks.linear import LinearConcepts
    from cbm.bottlenecks.word_filters import class_like_names
    from cbm.core.errors import InvalidInputError

    known = material.required_known()
    class_like = class_like_names(known.names, material.classes) & (not settings.keep_class_names)
    if not settings.inverse_strengths or min(settings.inverse_strengths) <= 0:
        raise InvalidInputError("inverse_strengths of the post-hoc method must name at least one number above 0.")
    vectors, names, scores = [], [], []
    for number in np.flatnonzero(~class_like).tolist():
        name = known.names[number]
        run.check()
        run.report(number, len(known.names), "Learning concept vectors")
        found = concept_vector(material.embeddings, known.present[:, number], settings, run.seed)
        if found is not None:
            vectors.append(found[0])
            scores.append(found[1])
            names.append(name)
    if not vectors:
        raise InvalidInputError("Every known concept is in fewer than two of these images, or in all but one; none can be learned.")
    bottleneck = LinearConcepts.standardised(np.stack(vectors), names, material.embeddings)
    figures = {"svm_accuracy": float(np.mean(scores)), "left_out": len(known.names) - len(names), "class_like_words": int(class_like.sum())}
    return FittedBottleneck(bottleneck, figures)


def concept_vector(
    embeddings: Float[np.ndarray, "rows dim"], present: Bool[np.ndarray, " rows"], settings: PosthocSettings, seed: int
) -> tuple[Float[np.ndarray, " dim"], float] | None:
    """The normal of a linear SVM that tells images with the concept from images without it, of length 1, and its held-out accuracy.

    None where fewer than two images have the concept, or lack it.
    """
    import numpy as np
    from sklearn.svm import LinearSVC

    generator = np.random.default_rng(seed)
    sides = [generator.permutation(np.flatnonzero(present == side))[: settings.examples] for side in (True, False)]
    if min(map(len, sides)) < 2:
        return None
    held = [max(1, len(side) // 5) for side in sides]
    test = np.concatenate([side[:count] for side, count in zip(sides, held, strict=True)])
    train = np.concatenate([side[count:] for side, count in zip(sides, held, strict=True)])
    best: tuple[float, float] | None = None
    for strength in settings.inverse_strengths:
        machine = LinearSVC(C=strength, random_state=seed).fit(embeddings[train], present[train])
        score = float((machine.predict(embeddings[test]) == present[test]).mean())
        if best is None or score > best[0]:
            best = (score, strength)
    assert best is not None, "settings name at least one strength"
    everything = np.concatenate(sides)
    vector = LinearSVC(C=best[1], random_state=seed).fit(embeddings[everything], present[everything]).coef_[0]
    return vector / max(float(np.linalg.norm(vector)), 1e-12), best[0]


PART = MethodPart(
    "posthoc",
    "Each concept is a direction: the text embedding of a word, or the border between images that have a known concept and images that "
    "do not.",
    PosthocSettings,
    label="Post-hoc CBM",
    source="Yuksekgonul et al. 2023 (ICLR), section 2, equation 1",
    needs=lambda settings: ("known concepts",) if settings.concepts == "known" else ("words",),
    fit=fit,
)
