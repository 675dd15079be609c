"""edit: a recipe on a model, and what it changes on held-out images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.wording import percent
from cbm.editing.recipe import Recipe
from cbm.verbs.base import AsJob, Settings, VerbResult, verb
from cbm.workspace.artifacts import ModelArtifact
from cbm.workspace.workspace import Draft, Workspace

if TYPE_CHECKING:
    from cbm.editing.effect import EditEffect
    from cbm.model.concept_model import ConceptModel
    from cbm.study.held_out import Rows


@dataclass(frozen=True)
class Edit(Settings):
    model: str
    """Id of a concept model."""
    recipe: Recipe | str | Path
    """JSON file of edits; concepts may be given by name alone. See docs/edits.md."""
    _: KW_ONLY
    on: str | None = None
    """Held-out embedding set to measure on; the model's test set when absent."""
    replace: bool = False
    """Put the recipe in the place of the model's own edits, so that it may also leave some of them out."""


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


def _figures(result: Mapping[str, Any]) -> str:
    change = f"accuracy {percent(result['accuracy_before'])} → {percent(result['accuracy_after'])}"
    return f"{change}, {result['corrected']:,} corrected, {result['newly_wrong']:,} newly wrong"


@verb(Edit, job=AsJob("Measure edits", "intervene", "Open the edited model", _figures))
def edit(settings: Edit, workspace: Workspace, run: Run) -> Edited:
    """Apply a recipe to a model and measure what it changes on held-out data."""
    from cbm.editing.effect import measure_recipe
    from cbm.embeddings.sets import load_set
    from cbm.study.held_out import all_rows
    from cbm.study.opened import as_recipe, load_model, require_model_world

    opened = load_model(workspace, settings.model)
    if opened.artifact is None:
        raise InvalidInputError(f"{settings.model} is an exported bundle; edit the model in the workspace and export it again.")
    before = opened.model
    change = as_recipe(settings.recipe, before)
    after = before.with_recipe(change if settings.replace else before.recipe.append(*change.active))
    rows = all_rows(load_set(workspace, settings.on)).labelled() if settings.on else opened.test_rows(workspace)
    require_model_world(rows.source, before)
    groups = rows.groups if (rows.groups >= 0).any() else None
    scored = before.scored(before.encode(rows.embeddings), rows.items)
    effect = measure_recipe(scored, before.recipe, after.recipe, rows.labels_among(before.classes), groups, rows.source.groups)
    return _edited(_write_edited(workspace, opened.artifact, after, rows, effect), effect)


def _write_edited(workspace: Workspace, parent: ModelArtifact, after: ConceptModel, rows: Rows, effect: EditEffect) -> ModelArtifact:
    from cbm.model.save import write_model
    from cbm.study.opened import edit_request

    def write(draft: Draft) -> None:
        draft.metrics.update(effect=effect.to_dict(), **{key: value for key, value in parent.metrics.items() if key != "effect"})
        write_model(after, draft.path)

    return workspace.create(edit_request(parent.id, after.recipe, rows), write)


def _edited(artifact: ModelArtifact, effect: EditEffect) -> Edited:
    worst = None
    if effect.worst_group_before is not None and effect.worst_group_after is not None:
        worst = {"before": effect.worst_group_before, "after": effect.worst_group_after}
    return Edited(
        model=artifact.id,
        accuracy_before=effect.accuracy_before,
        accuracy_after=effect.accuracy_after,
        corrected=len(effect.corrected),
        newly_wrong=len(effect.newly_wrong),
        worst_group=worst,
        per_class={part.name: (part.before, part.after) for part in effect.per_class},
    )
