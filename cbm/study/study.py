"""A concept model beside its held-out images: what people ask about it, answered in plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int

from cbm.core.errors import NotFoundError
from cbm.editing.effect import EditEffect, MarginalEffect, marginal_effects, measure_recipe
from cbm.editing.recipe import Decisions, Recipe
from cbm.editing.scoring import ScoredSet
from cbm.embeddings.sets import load_set
from cbm.model.concept_model import ConceptModel
from cbm.study.concept_view import ConceptSummary, ConceptView
from cbm.study.confusions import ClassRow, Confusions, count_confusions
from cbm.study.evidence import Firing, class_weights, firing, known_concepts
from cbm.study.groups import Groups, measure_groups
from cbm.study.held_out import all_rows
from cbm.study.images import JudgedImage, Subject
from cbm.study.model_images import ModelImages
from cbm.study.opened import load_model, require_model_world
from cbm.study.prediction import Prediction, predict_image
from cbm.workspace.workspace import Workspace

_KEPT_MODELS = 4
_CANDIDATES = 5
_CLASSES = 12


@dataclass(frozen=True, eq=False)
class Study(ModelImages):
    """One concept model on one held-out embedding set. It never changes and may be shared.

    Recipes are arguments; without one, the edits that the model was stored with are in force. In a notebook:

        study = Study.open(model)
        study.accuracy
        study.concept("sea").top_images()
        study.prediction("gulls/7.jpg").bars()
    """

    training_images: int | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What the workspace records about the model."""
    linear_probe: float | None = None
    """Accuracy of a linear probe on these very images; None where it was not measured on them."""

    @classmethod
    def open(cls, model: str | Path, *, workspace: Workspace | str | Path | None = None, on: str | None = None) -> Study:
        """A model beside the images that it was tested on.

        Args:
            model: id of a concept model, which may be shortened, or the folder of an exported bundle.
            workspace: where the model and the images are; the default workspace when absent.
            on: another embedding set of the same backbone and space to look at instead.

        Raises:
            NotFoundError: there is no such model, or the images that it was tested on are not in the workspace.
            MismatchError: the images come from another backbone or space.
        """
        home = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
        opened = load_model(home, str(model))
        rows = all_rows(load_set(home, on)) if on else opened.test_rows(home)
        require_model_world(rows.source, opened.model)
        return cls(
            opened.model,
            replace(rows.source, embeddings=rows.embeddings, items=rows.source.items.iloc[rows.rows].reset_index(drop=True)),
            training_images=None if opened.training is None else opened.training.count,
            metrics=opened.metrics,
            linear_probe=opened.linear_probe_on(rows.source.id) if on else opened.linear_probe,
        )

    # Images

    def rows(self, *, wrong_only: bool = False, truth: str | None = None, search: str = "") -> list[int]:
        """Rows of the images to choose from.

        Args:
            wrong_only: those that are wrong before any edit, so that a corrected image stays in the list.
            truth: those of this class.
            search: those whose name has this in it, in any letter case.
        """
        wanted = np.ones(self.image_count, bool)
        if wrong_only:
            wanted &= (self.labels >= 0) & (self.predicted(Recipe()) != self.labels)
        if truth is not None:
            wanted &= self.labels == self.model.class_index(truth)
        rows = np.flatnonzero(wanted).tolist()
        key = search.strip().casefold()
        return [row for row in rows if key in self.items[row].casefold()] if key else rows

    def subject(self, row: int) -> Subject:
        """One held-out image with what the model needs to judge it."""
        embedding = np.asarray(self.held_out.embeddings[row], np.float32)
        item = self.items[row]
        return Subject(item, item, row, self.scored.codes[row], embedding, self.truth_of(row), self.uris[row], self.group_of(row))

    def picture(self, row: int, recipe: Recipe | None = None) -> JudgedImage:
        """One image with the class that the model takes it for."""
        return self.pictures([row], recipe)[0]

    def pictures(self, rows: Sequence[int], recipe: Recipe | None = None, titles: Sequence[str] | None = None) -> list[JudgedImage]:
        """Images with the class that the model takes each for.

        Args:
            titles: a line for each; the predicted class when absent.
        """
        predicted = self.predicted(recipe)[list(rows)].tolist()
        found = []
        for place, (row, label) in enumerate(zip(rows, predicted, strict=True)):
            truth, says = self.truth_of(row), self.class_names[label]
            correct = None if truth is None else truth == says
            item, title = self.items[row], titles[place] if titles else says
            alt = f"Image {item}: {'' if truth is None else f'{truth}, '}predicted as {says}"
            found.append(JudgedImage(row, self.uris[row], title, alt, correct, item=item, truth=truth, predicted=says))
        return found

    # Scores

    @cached_property
    def scored(self) -> ScoredSet:
        """Held-out activations with their logits, for re-scoring under one recipe after another."""
        return self.model.scored(self.model.encode(np.asarray(self.held_out.embeddings)), self.items)

    @cached_property
    def columns(self) -> scipy.sparse.csc_matrix:
        """Held-out activations [images, concepts] by concept."""
        return self.scored.codes.tocsc()

    def logits(self, recipe: Recipe | None = None) -> Float32[np.ndarray, "images classes"]:
        """Class scores of every image; read-only."""
        return self.scored.apply(self.model.recipe if recipe is None else recipe)

    def predicted(self, recipe: Recipe | None = None) -> Int[np.ndarray, " images"]:
        """Predicted class of every image."""
        # Asked again and again without edits, and as the model was stored.
        if recipe is None or recipe == self.model.recipe:
            return self._predicted_as_stored
        return self._predicted_before if recipe == _NONE else self.scored.predict(recipe)

    @cached_property
    def _predicted_before(self) -> Int[np.ndarray, " images"]:
        return self.scored.predict(_NONE)

    @cached_property
    def _predicted_as_stored(self) -> Int[np.ndarray, " images"]:
        return self.scored.predict(self.model.recipe)

    @property
    def nec(self) -> float:
        """Number of effective concepts: mean count of non-zero weights per class."""
        return self.model.head.nec

    @cached_property
    def concepts_used(self) -> int:
        return int((self.model.head.weight != 0).any(axis=0).sum())

    @cached_property
    def accuracy(self) -> float | None:
        """Accuracy of the model as it is stored, on the labelled held-out images; 0 to 1, None without any."""
        return self.confusions().accuracy

    def confusions(self, recipe: Recipe | None = None, only: Int[np.ndarray, " rows"] | None = None) -> Confusions:
        """Counts of true and predicted classes; all zero where no image has a label.

        Args:
            only: rows to count; all held-out images when absent.
        """
        labels = self.labels
        if only is not None:
            labels = np.where(np.isin(np.arange(self.image_count), only), labels, -1)
        return count_confusions(self.predicted(recipe), labels, self.class_names)

    def classes(self, recipe: Recipe | None = None) -> tuple[ClassRow, ...]:
        """Every class in figures."""
        return self.confusions(recipe).rows

    def groups(self, recipe: Recipe | None = None) -> Groups | None:
        """Accuracy by group; None where no labelled image has a group."""
        return measure_groups(self.predicted(recipe), self.labels, self.group_labels, self.held_out.groups)

    def confused_rows(self, truth: int, predicted: int, recipe: Recipe | None = None) -> list[int]:
        """The images of one class that are predicted as another (or as itself), the surest predictions first."""
        rows = np.flatnonzero((self.labels == truth) & (self.predicted(recipe) == predicted))
        rest = self.logits(recipe)[rows]
        margin = rest[:, predicted] - np.delete(rest, predicted, axis=1).max(axis=1, initial=-np.inf)
        return rows[np.argsort(-margin, kind="stable")].tolist()

    # Predictions and edits

    @cached_property
    def _edited(self) -> Any:
        """Kept, because folding the edits of a large model takes longer than all else about one image."""
        return lru_cache(maxsize=_KEPT_MODELS)(self.model.with_recipe)

    def edited(self, recipe: Recipe | None = None) -> ConceptModel:
        """The model under a recipe."""
        model: ConceptModel = self.model if recipe is None else self._edited(recipe)
        return model

    def prediction(self, image: int | str | Subject, recipe: Recipe | None = None, target: str | None = None) -> Prediction:
        """What the model says about one image, and why.

        Args:
            image: row or name of a held-out image, or a picture from outside.
            target: class whose logit is explained; the predicted one when absent or unknown.

        Raises:
            NotFoundError: no held-out image is called so.
        """
        subject = image if isinstance(image, Subject) else self.subject(self.row_of(image) if isinstance(image, str) else image)
        unedited = self.scored.base_logits[[subject.row]] if subject.row is not None else self.scored.head_for(_NONE).logits(subject.codes)
        return predict_image(self.edited(recipe), subject, unedited[0], self.concept_names, target)

    def effect(self, recipe: Recipe, since: Recipe | None = None) -> EditEffect | None:
        """What a recipe does to the held-out images; None where it changes names only, or where no image has a label.

        Args:
            since: what to compare with; the model without any edit when absent.
        """
        if not self.labelled_images or not recipe.changes_predictions:
            return None
        return measure_recipe(self.scored, since or _NONE, recipe, self.labels, self.group_labels, self.held_out.groups or None)

    def marginal_effects(
        self, recipe: Recipe, predict: Callable[[Recipe], Int[np.ndarray, " images"]] | None = None
    ) -> tuple[MarginalEffect | None, ...]:
        """For each step that is done: what it adds to those before it. None where it is switched off or changes names only.

        Args:
            predict: `predicted` with a memory, where there is one.
        """
        return marginal_effects(recipe, self.labels, predict or self.predicted)

    # Concepts

    @property
    def concept_count(self) -> int:
        return self.model.head.size

    def check_concept(self, concept: int) -> None:
        """Make sure that there is such a concept.

        Raises:
            NotFoundError: there is not.
        """
        if not 0 <= concept < self.concept_count:
            raise NotFoundError(
                f"There is no concept {concept}: this model's {self.concept_count:,} concepts count from 0. Choose one from the list."
            )

    def name(self, concept: int, recipe: Recipe | None = None) -> str:
        """A name that tells the concept from others of the same name: "red", or "red #12" where several concepts are called red."""
        recipe = self.model.recipe if recipe is None else recipe
        return recipe.decisions().names.get(concept, self.concept_names[concept])

    @cached_property
    def concept_names(self) -> list[str]:
        """Names before any edit, told apart where several concepts are called the same."""
        return self.model.concepts.labels

    @cached_property
    def unedited_concepts(self) -> tuple[ConceptSummary, ...]:
        """Every concept as it was named."""
        table = self.model.concepts
        head = self.model.head.weight
        counts = np.diff(self.columns.indptr)
        mean_size = np.asarray(abs(self.columns).sum(axis=0)).ravel() / max(1, self.image_count)
        predictiveness = mean_size * np.abs(head).mean(axis=0)
        strongest = head.argmax(axis=0)
        used, raises = np.any(head != 0, axis=0).tolist(), np.any(head > 0, axis=0).tolist()
        named = table.named
        scores = table.frame["score"].to_numpy()
        return tuple(
            ConceptSummary(
                index=index,
                name=name,
                named=bool(named[index]),
                frequency=float(counts[index] / max(1, self.image_count)),
                name_score=float(scores[index]),
                predictiveness=float(predictiveness[index]),
                top_class=self.class_names[strongest[index]] if raises[index] else None,
                uris=(),
                used=used[index],
            )
            for index, name in enumerate(table.names)
        )

    def concepts(self, recipe: Recipe | None = None) -> list[ConceptSummary]:
        """Every concept as a recipe shows it, merged ones as one."""
        decisions = (self.model.recipe if recipe is None else recipe).decisions()
        standing_for = decisions.standing_for
        found = list(self.unedited_concepts)
        for index in decisions.names.keys() | decisions.hidden | decisions.groups.keys():
            found[index] = self.summary(index, decisions)
        return [concept for concept in found if standing_for.get(concept.index, concept.index) == concept.index]

    def summary(self, concept: int, decisions: Decisions) -> ConceptSummary:
        """A concept as it is shown; one that represents others since a merge has the frequency and the weight of all."""
        found = self.unedited_concepts[concept]
        name = decisions.names.get(concept, found.name)
        if name != found.name or concept in decisions.hidden:
            renamed_from = found.name if name != found.name else None
            found = replace(found, name=name, hidden=concept in decisions.hidden, renamed_from=renamed_from)
        members = decisions.groups.get(concept, ())
        if not members:
            return found
        each = [self.unedited_concepts[member] for member in members]
        return replace(
            found,
            members=members,
            frequency=self.firing(members).frequency,
            predictiveness=sum(member.predictiveness for member in each),
            used=any(member.used for member in each),
        )

    def with_pictures(self, concepts: Sequence[ConceptSummary], count: int = 6) -> list[ConceptSummary]:
        """The concepts with the images on which each is strongest."""
        rows = [self.firing(concept.members or (concept.index,)).rows[:count].tolist() for concept in concepts]
        return [replace(concept, uris=tuple(self.uris[row] for row in shown)) for concept, shown in zip(concepts, rows, strict=True)]

    def firing_pictures(self, fired: Firing, rows: Sequence[int], recipe: Recipe | None = None) -> list[JudgedImage]:
        """Images titled by how strongly a concept fires on them: 0.00 where it is silent."""
        strengths = fired.dense()
        return self.pictures(rows, recipe, [f"{strengths[row]:.2f}" for row in rows])

    def strongest_rows(self, concept: int, count: int) -> list[int]:
        """The images that have most of a concept."""
        return self.firing((concept,)).rows[:count].tolist()

    def firing(self, members: Sequence[int]) -> Firing:
        """Where a concept, or several together, fire and how strongly."""
        return firing(self.columns, members)

    def concept(self, concept: int | str, recipe: Recipe | None = None) -> ConceptView:
        """Everything about one concept.

        Args:
            concept: its number, or its name, as "red" (of several of one name, the one that decides most) or "red #12".

        Raises:
            NotFoundError: there is no such concept; the message suggests similar names.
        """
        recipe = self.model.recipe if recipe is None else recipe
        if isinstance(concept, str):
            concept = self._called(concept, recipe)
        self.check_concept(concept)
        decisions = recipe.decisions()
        shown = decisions.standing_for.get(concept, concept)
        members = decisions.groups.get(shown, (shown,))
        listed = self.concepts(recipe)
        position = next(position for position, entry in enumerate(listed) if entry.index == shown)
        fired = self.firing(members)
        return ConceptView(
            summary=listed[position],
            asked=concept,
            fired=fired,
            names=tuple((member, self.concept_names[member]) for member in members),
            candidates=tuple(self.model.concepts.candidates(shown)[:_CANDIDATES]),
            class_weights=class_weights(self.scored.head_for(recipe), self.columns, members, self.class_names)[:_CLASSES],
            known=known_concepts(fired, self.held_out.truth, self.held_out.concept_names) if self.held_out.concept_names else (),
            before=_next_shown(listed, position, -1),
            after=_next_shown(listed, position, 1),
            items=self.items,
            uris=self.uris,
        )

    def _called(self, name: str, recipe: Recipe) -> int:
        model = self.edited(recipe)
        if name in self.concept_names and not model.concepts_named(name):
            return self.concept_names.index(name)
        named = {edit.concept for edit in model.ablate(name)}
        return max(sorted(named), key=lambda index: self.unedited_concepts[index].predictiveness)

    def warm(self) -> None:
        """Compute what every page needs, so that the first visitor's click does not wait for it."""
        _ = self.unedited_concepts, self._predicted_before, self._predicted_as_stored


_NONE = Recipe()


def _next_shown(concepts: Sequence[ConceptSummary], position: int, step: int) -> int | None:
    """The next concept in a direction that fires and is not hidden."""
    position += step
    while 0 <= position < len(concepts):
        if concepts[position].frequency > 0 and not concepts[position].hidden:
            return concepts[position].index
        position += step
    return None
