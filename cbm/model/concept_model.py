"""The concept model: a bottleneck and a linear head with names and edits; what predicts, explains itself and is exported."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int

from cbm.core.arrays import softmax
from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes
from cbm.core.errors import CbmError, InvalidInputError, MismatchError, NotFoundError
from cbm.editing.contributions import contributions
from cbm.editing.recipe import AblateConcept, Decisions, Edit, GlobalScope, Recipe, Scope
from cbm.editing.scoring import EffectiveHead, ScoredSet, class_index, fold_recipe
from cbm.model.explanations import ClassWeights, Counterfactual, Explanation, list_contributions, smallest_ablation

if TYPE_CHECKING:
    from cbm.backbones.reference import BackboneReference
    from cbm.heads.base import LinearHead
    from cbm.names.concepts import ConceptTable

SPACES = ("raw", "l2", "centred")


CodesLike: TypeAlias = Codes | scipy.sparse.csr_matrix


@dataclass(frozen=True)
class Predictions:
    """Class scores of a batch of images."""

    logits: Float32[np.ndarray, "batch classes"]
    classes: tuple[str, ...]

    @cached_property
    def probabilities(self) -> Float32[np.ndarray, "batch classes"]:
        """Soft-max of the logits."""
        return softmax(self.logits)

    @cached_property
    def labels(self) -> Int[np.ndarray, " batch"]:
        """Index of the predicted class; the lower one among equals."""
        return self.logits.argmax(axis=1)

    @property
    def names(self) -> list[str]:
        """Name of the predicted class."""
        return [self.classes[label] for label in self.labels]


@dataclass(frozen=True, eq=False)
class ConceptModel:
    """Embedding -> concept activations -> class logits, with a recipe of edits in between.

    Immutable: an edit is a new model (`with_recipe`, `edited`) that shares everything else. Embeddings are expected in `space`.
    """

    bottleneck: Bottleneck
    head: LinearHead
    concepts: ConceptTable
    classes: tuple[str, ...]
    recipe: Recipe = field(default_factory=Recipe)
    backbone: BackboneReference | None = None
    space: str = "l2"
    method: Mapping[str, Any] = field(default_factory=dict)
    """How the model was made: variant, seeds, vocabulary and its digest, parents. JSON-able; kept by the bundle and shown in its card."""

    def __post_init__(self) -> None:
        sizes = {"bottleneck": self.bottleneck.size, "head": self.head.size, "concept table": len(self.concepts)}
        if len(set(sizes.values())) != 1:
            listed = ", ".join(f"{part} {size}" for part, size in sizes.items())
            raise MismatchError(f"The parts of the model count different numbers of concepts: {listed}. Use parts made for one dictionary.")
        if len(self.classes) != len(self.head.bias) or len(set(self.classes)) != len(self.classes):
            raise MismatchError(
                f"{len(self.classes)} class names ({len(set(self.classes))} different) for a head of {len(self.head.bias)} classes; "
                "give each class its own name."
            )
        if self.space not in SPACES:
            raise InvalidInputError(f"Unknown space {self.space!r}; embeddings are {', '.join(SPACES)}.")
        self.recipe.check(self.head.size, self.classes)

    # Edits

    def with_recipe(self, recipe: Recipe) -> ConceptModel:
        """The same model under another recipe.

        Raises:
            InvalidInputError: the recipe speaks of a concept or class that the model does not have.
        """
        return replace(self, recipe=recipe)

    def edited(self, *edits: Edit) -> ConceptModel:
        """The model after some more edits."""
        return self.with_recipe(self.recipe.append(*edits))

    def ablate(self, name: str, scope: Scope | None = None) -> tuple[AblateConcept, ...]:
        """The edits that ablate every concept called `name`, to be passed to `edited` or `Recipe.append`.

        Raises:
            NotFoundError: no concept has this name; the message suggests similar ones.
        """
        found = self.concepts_named(name)
        if not found:
            near = difflib.get_close_matches(name, self.names, 5)
            raise NotFoundError(
                f"No concept is called {name!r}.{' Similar: ' + ', '.join(near) + '.' if near else ''} See the list of concepts."
            )
        return tuple(AblateConcept(concept, self.names[concept], scope or GlobalScope()) for concept in found)

    def concepts_named(self, name: str) -> tuple[int, ...]:
        """Concepts shown or originally named so, with everything they are merged with; empty where there is none.

        Letter case, spaces and hyphens do not matter.
        """
        from cbm.names.names import same_name_key

        wanted = same_name_key(name)
        found = [index for index, shown in enumerate(self.names) if same_name_key(shown) == wanted]
        found += [index for index, original in enumerate(self.concepts.names) if same_name_key(original) == wanted]
        groups, standing_for = self.decisions.groups, self.decisions.standing_for
        return tuple(dict.fromkeys(member for index in found for member in groups.get(standing_for.get(index, index), (index,))))

    @cached_property
    def decisions(self) -> Decisions:
        return self.recipe.decisions()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name of every concept, as the user decided; merged members bear their group's name."""
        names = list(self.concepts.names)
        for concept, name in self.decisions.names.items():
            for member in self.decisions.groups.get(concept, (concept,)):
                names[member] = name
        return tuple(names)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """`names`, with the concept's number where several concepts share one: "red #12"."""
        own = zip(self.concepts.names, self.concepts.labels, strict=True)
        return tuple(label if shown == name else shown for shown, (name, label) in zip(self.names, own, strict=True))

    @cached_property
    def concept_table(self) -> ConceptTable:
        """The concepts as the user wants them shown: renamed, merged, hidden."""
        decisions = self.decisions
        return self.concepts.with_decisions(decisions.names, decisions.hidden, decisions.groups)

    @cached_property
    def effective_head(self) -> EffectiveHead:
        """The head with all edits but those at image scope folded in."""
        return fold_recipe(self.head, self.classes, self.recipe)

    # Predictions

    def encode(self, embeddings: Float32[np.ndarray, "batch dim"]) -> Codes:
        """Concept activations before any edit.

        Raises:
            MismatchError: the embeddings have another dimension than the bottleneck.
            InvalidInputError: a value is not finite.
        """
        embeddings = np.atleast_2d(np.asarray(embeddings, dtype=np.float32))
        if embeddings.shape[1] != self.bottleneck.dim:
            raise MismatchError(
                f"Embeddings of {embeddings.shape[1]} dimensions do not fit a model of {self.bottleneck.dim}; use its own backbone."
            )
        if not np.isfinite(embeddings).all():
            row = int(np.flatnonzero(~np.isfinite(embeddings).all(axis=1))[0])
            raise InvalidInputError(f"Row {row} of the embeddings holds values that are not finite numbers; encode or import it again.")
        return self.bottleneck.encode(embeddings)

    def predict(self, embeddings: Float32[np.ndarray, "batch dim"], items: Sequence[str] | None = None) -> Predictions:
        """Class scores of embeddings in the model's `space`, with the recipe in effect.

        Args:
            items: name of each row; edits at image scope apply to the rows that they name.
        """
        return self.predict_codes(self.encode(embeddings), items)

    def predict_codes(self, codes: CodesLike, items: Sequence[str] | None = None) -> Predictions:
        """Class scores of unedited activations, with the recipe in effect.

        Raises:
            MismatchError: the codes are over other concepts, or `items` are not one for each row.
        """
        rows = self._rows(codes)
        if items is not None and len(items) != rows.shape[0]:
            raise MismatchError(f"{len(items)} items do not fit {rows.shape[0]} rows; give one name for each row.")
        logits = self.effective_head.logits(rows)
        edited_items = self.recipe.image_items()
        for row, item in enumerate(items or ()) if edited_items else ():
            if item in edited_items:
                logits[row] = self._head_for(item).logits(rows[row])[0]
        return Predictions(logits, self.classes)

    def scored(self, codes: CodesLike, items: Sequence[str] | None = None) -> ScoredSet:
        """The codes with their unedited logits, for fast re-scoring under many recipes."""
        return ScoredSet(codes, self.head, self.classes, items)

    # Explanations

    def explain(self, embedding: Float32[np.ndarray, " dim"], item: str | None = None, target: int | str | None = None) -> Explanation:
        """Why one image is predicted as it is: its contributions to the logit of `target` (the predicted class when absent)."""
        return self.explain_codes(self.encode(np.atleast_2d(embedding)), item, target)

    def explain_codes(self, codes: CodesLike, item: str | None = None, target: int | str | None = None) -> Explanation:
        """`explain`, from the unedited activations of one image (one row)."""
        head, indices, values = self._one_row(codes, item)
        logits = head.logits(self._rows(codes))[0]
        predicted = int(logits.argmax())
        index = predicted if target is None else self.class_index(target)
        shown = contributions(head, indices, values, self.decisions)
        listed = list_contributions(shown, head, index, self.names, self.decisions.hidden)
        return Explanation(item, self.classes, logits, softmax(logits[None])[0], predicted, index, float(self.head.bias[index]), listed)

    def counterfactual(self, embedding: Float32[np.ndarray, " dim"], item: str | None = None) -> Counterfactual:
        """The smallest set of concept ablations that changes one image's prediction, exactly minimal; merged concepts count as one."""
        return self.counterfactual_codes(self.encode(np.atleast_2d(embedding)), item)

    def counterfactual_codes(self, codes: CodesLike, item: str | None = None) -> Counterfactual:
        """`counterfactual`, from the unedited activations of one image (one row)."""
        head, indices, values = self._one_row(codes, item)
        shown = contributions(head, indices, values, self.decisions)
        logits = self.head.bias.astype(np.float64) + shown.contributions.sum(axis=0)
        predicted = int(logits.argmax())
        removed = smallest_ablation(logits, shown.contributions)
        if removed is None:
            return Counterfactual(False, (), (), (), predicted, predicted, logits.astype(np.float32))
        after = self.head.bias + np.delete(shown.contributions, removed, axis=0).sum(axis=0)
        concepts = tuple(shown.concepts[removed].tolist())
        members = tuple(member for row in removed.tolist() for member in shown.members[row])
        names = tuple(self.names[concept] for concept in concepts)
        return Counterfactual(True, concepts, names, members, predicted, int(after.argmax()), after.astype(np.float32))

    def class_weights(self, target: int | str) -> ClassWeights:
        """The weights that make a class, with the edits in effect."""
        index = self.class_index(target)
        weights = self.effective_head.weight[:, index]
        concepts = np.flatnonzero(weights)
        concepts = concepts[np.argsort(-weights[concepts], kind="stable")]
        names = tuple(self.names[concept] for concept in concepts)
        bias = float(self.effective_head.bias[index])
        return ClassWeights(self.classes[index], bias, concepts, names, weights[concepts], self.decisions.hidden)

    def class_index(self, target: int | str) -> int:
        """Index of a class given by name or index.

        Raises:
            NotFoundError: the model has no such class.
        """
        return class_index(self.classes, target)

    # Storage

    @classmethod
    def load(cls, folder: str | Path) -> ConceptModel:
        """The model in a bundle or in a workspace's model artefact.

        Raises:
            NotFoundError: there is no such folder.
            CorruptArtifactError: a file is missing, changed, or of a newer version.
        """
        from cbm.model.load import read_parts, unfit

        parts = read_parts(Path(folder))
        try:
            return cls(**vars(parts))
        except CbmError as error:
            raise unfit(Path(folder), error) from error

    def _rows(self, codes: CodesLike) -> scipy.sparse.csr_matrix:
        rows = codes.to_csr() if isinstance(codes, Codes) else scipy.sparse.csr_matrix(codes)
        if rows.shape[1] != self.head.size:
            raise MismatchError(
                f"Codes over {rows.shape[1]} concepts do not fit a model of {self.head.size}; encode with its own dictionary."
            )
        return rows

    def _head_for(self, item: str | None) -> EffectiveHead:
        if item is None or item not in self.recipe.image_items():
            return self.effective_head
        return fold_recipe(self.head, self.classes, self.recipe, item)

    def _one_row(self, codes: CodesLike, item: str | None) -> tuple[EffectiveHead, np.ndarray, np.ndarray]:
        rows = self._rows(codes)
        if rows.shape[0] != 1:
            raise InvalidInputError(f"An explanation is about one image, but {rows.shape[0]} were given; pass one row.")
        return self._head_for(item), rows.indices.astype(np.int64), rows.data.astype(np.float64)
