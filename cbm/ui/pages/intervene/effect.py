"""What the edits in force do to all held-out images, the edits one by one, and how they are kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import streamlit as st
from jaxtyping import Int
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cbm.core.errors import CbmError, MismatchError
from cbm.editing.effect import EditEffect, MarginalEffect
from cbm.editing.recipe import Recipe
from cbm.study.recipe_files import missing_items, read_recipe
from cbm.study.study import Study
from cbm.ui.access import modes, quotas
from cbm.ui.frame import cache, edits, messages, resources
from cbm.ui.frame.chosen import Chosen
from cbm.ui.frame.formats import counted, percent, plain, points
from cbm.ui.frame.layout import Headline, headline_row
from cbm.ui.frame.shell import EditLine, edit_lines
from cbm.ui.frame.slots import set_widget, widget_value
from cbm.ui.frame.state import IntervenePage
from cbm.ui.widgets import figures, job_panel
from cbm.ui.widgets.figures.explanations import accuracy_moves
from cbm.ui.widgets.galleries import picture_chooser

_SHOWN_PICTURES = 8
_SAVE = "save_model"
"""Where the page says why a model was not saved."""


# Measured once for each state of the edits. Keys are short texts; the arrays stay with the study.


def measured(root: str, model: str, recipe: Recipe) -> EditEffect | None:
    """The measured effect of a recipe against the model without edits; None where it changes names only."""
    return _effect(root, model, recipe.prediction_state, recipe)


@cache.remember()
def _effect(root: str, model: str, state: str, _recipe: Recipe) -> EditEffect | None:
    return resources.study(root, model).effect(_recipe)


def marginals(root: str, model: str, recipe: Recipe) -> tuple[MarginalEffect | None, ...]:
    """For each step that is done: what it adds to those before it."""
    return _marginals(root, model, repr(recipe.steps[: recipe.position]), recipe)


@cache.remember()
def _marginals(root: str, model: str, state: str, _recipe: Recipe) -> tuple[MarginalEffect | None, ...]:
    return resources.study(root, model).marginal_effects(_recipe, lambda recipe: predictions(root, model, recipe))


def predictions(root: str, model: str, recipe: Recipe) -> Int[np.ndarray, " images"]:
    """Predicted class of every held-out image under a recipe; read-only."""
    return _predictions(root, model, recipe.prediction_state, recipe)


@cache.remember()
def _predictions(root: str, model: str, state: str, _recipe: Recipe) -> Int[np.ndarray, " images"]:
    found = resources.study(root, model).predicted(_recipe).astype(np.int32)
    found.setflags(write=False)
    return found


# What the edits do


def effect_panel(effect: EditEffect, study: Study, recipe: Recipe) -> None:
    """Accuracy, what was corrected and broken, the worst group, and the classes that moved."""
    _figures(effect)
    if effect.moved:
        with st.container():
            st.markdown("**Classes and groups that moved**")
            st.plotly_chart(
                accuracy_moves([(part.name, part.before, part.after) for part in effect.moved]),
                key=IntervenePage.key("moved_classes"),
                config=figures.CHART_OPTIONS,
                alt="Accuracy before and after: "
                + ", ".join(f"{part.name} {percent(part.before)} to {percent(part.after)}" for part in effect.moved[:8]),
            )
    _pictures(effect, study, recipe)


def _figures(effect: EditEffect) -> None:
    found = [
        Headline(
            "Accuracy",
            percent(effect.accuracy_after),
            f"On {effect.count:,} held-out images; {percent(effect.accuracy_before)} before the edits.",
            points(effect.accuracy_before, effect.accuracy_after),
        ),
        Headline("Corrected", f"{len(effect.corrected):,}", "Images that were wrong and are now right."),
        Headline("Newly wrong", f"{len(effect.newly_wrong):,}", "Images that were right and are now wrong."),
    ]
    if effect.worst_after is not None and effect.worst_group_after is not None and effect.worst_group_before is not None:
        worst = f"Accuracy of the worst group, now {effect.worst_after.name}; {percent(effect.worst_group_before)} before."
        change = points(effect.worst_group_before, effect.worst_group_after)
        found.append(Headline("Worst group", percent(effect.worst_group_after), worst, change))
    headline_row(found, key=IntervenePage.key("effect_figures"))


def _pictures(effect: EditEffect, study: Study, recipe: Recipe) -> None:
    for title, icon, rows in (
        ("Corrected", ":material/check:", effect.corrected),
        ("Newly wrong", ":material/close:", effect.newly_wrong),
    ):
        count = len(rows)
        if not count:
            continue
        more = f", {_SHOWN_PICTURES} shown" if count > _SHOWN_PICTURES else ""
        st.markdown(f"{icon} **{title}** ({count:,}{more})")
        key = IntervenePage.key("effect", title.lower().replace(" ", "-"))
        pictures = study.pictures(rows[:_SHOWN_PICTURES].tolist(), recipe)
        tiles = [tile if tile.correct else replace(tile, title=f"{tile.truth} → {tile.predicted}") for tile in pictures]
        picture_chooser(tiles, chosen=None, on_choose=lambda row: IntervenePage.put(image=study.item(row)), key=key, quiet=True)


def edits_panel(recipe: Recipe, marginals: Sequence[MarginalEffect | None], *, model: str) -> None:
    """Every edit in order, with a switch, what it does on top of those before it, and the ways back."""
    lines = edit_lines(recipe)
    st.markdown("**Edits**, in order")
    for line, marginal in zip(lines, marginals, strict=True):
        _edit_line(line, marginal, model=model, last=line.position == recipe.position - 1)
    undone = len(recipe) - recipe.position
    if undone:
        st.caption(f"{counted(undone, 'edit')} undone; redo restores them.")
    if not len(recipe):
        st.caption("None yet. They appear here one by one, each with its effect.")
    if lines:
        st.caption("Each line counts what the edit changes on top of those above it.")


def _edit_line(line: EditLine, marginal: MarginalEffect | None, *, model: str, last: bool) -> None:
    with st.container(border=True, gap="xsmall", key=IntervenePage.key("edit_line", line.position)):
        key = IntervenePage.key("edit", line.position)
        set_widget(key, line.enabled)
        st.toggle(f"{line.icon} {plain(line.text)}", key=key, on_change=_switch, args=(model, line.position, key))
        st.caption(_marginal_words(line, marginal))
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Remove",
                key=IntervenePage.key("remove", line.position),
                type="tertiary",
                icon=":material/delete:",
                help="Delete this edit. To keep it for later, switch it off instead.",
                on_click=edits.change,
                args=(model, _without(line.position)),
            )
            if not last:
                st.button(
                    "Back to here",
                    key=IntervenePage.key("back_to", line.position),
                    type="tertiary",
                    icon=":material/history:",
                    help="Undo every edit after this one; redo restores them.",
                    on_click=edits.change,
                    args=(model, _back_to(line.position + 1)),
                )


def _marginal_words(line: EditLine, marginal: MarginalEffect | None) -> str:
    if not line.measured:
        return "changes names only"
    if marginal is None:
        return "switched off"
    if not marginal.changed:
        return "no prediction changes"
    other = marginal.changed - marginal.corrected - marginal.newly_wrong
    parts = [f":green[✓ {marginal.corrected:,} corrected]", f":orange[✗ {marginal.newly_wrong:,} newly wrong]"]
    return " · ".join(parts + ([f"{other:,} otherwise changed"] if other else []))


def _switch(model: str, position: int, key: str) -> None:
    edits.switch(model, position, bool(widget_value(key)))


def _back_to(position: int) -> Callable[[Recipe], Recipe]:
    return lambda recipe: recipe.back_to(position)


def _without(position: int) -> Callable[[Recipe], Recipe]:
    return lambda recipe: recipe.remove(position)


# Recipes from files, and the edited model as a model of its own


def upload_panel(study: Study, recipe: Recipe, *, model: str) -> None:
    """Take edits from a recipe file."""
    with st.popover("Upload a recipe", icon=":material/upload:", width="stretch", key=IntervenePage.key("upload_recipe")):
        st.markdown("A recipe is the JSON file that **Download recipe** writes: the edits in their order, to be replayed on this model.")
        file = st.file_uploader("Recipe file", type="json", key=IntervenePage.key("recipe_file", IntervenePage.UPLOADS.get()))
        if file is None:
            return
        try:
            quotas.check_upload(file.name, file.size)
            read = _read(file, study)
        except CbmError as error:
            messages.error(str(error))
            return
        if read is not None:
            _offer(read, study, recipe, model)


def _read(file: UploadedFile, study: Study) -> Recipe | None:
    data = file.getvalue()
    try:
        return read_recipe(data, study)
    except MismatchError as error:
        messages.error(str(error))
        if st.toggle("Apply it by the concepts' names instead", key=IntervenePage.key("recipe_by_name")):
            return read_recipe(data, study, by_name=True)
        return None


def _offer(read: Recipe, study: Study, recipe: Recipe, model: str) -> None:
    st.markdown(f":material/check: A recipe of {counted(len(read), 'edit')} that fits this model.")
    missing = missing_items(read, study)
    if missing:
        st.caption(f"{counted(len(missing), 'image')} that it names, {missing[0]} for one, are not among the held-out images here.")
    with st.container(horizontal=True):
        st.button(
            "Replace my edits" if len(recipe) else "Apply",
            key=IntervenePage.key("recipe_replace"),
            type="primary",
            on_click=_take,
            args=(model, read, False),
        )
        if len(recipe):
            st.button("Add after mine", key=IntervenePage.key("recipe_add"), on_click=_take, args=(model, read, True))


def _take(model: str, read: Recipe, add: bool) -> None:
    edits.change(model, lambda current: current.append(*read.active) if add else read)
    IntervenePage.UPLOADS.put(IntervenePage.UPLOADS.get() + 1)


def save_panel(chosen: Chosen) -> None:
    """Keep the edits as a new model of the workspace, measured again; absent where nothing may be written."""
    if not modes.may_write():
        st.caption(":material/lock: This is a demo: edits stay in this browser tab. Download the recipe to keep them.")
        return
    st.button(
        "Save as new model",
        key=IntervenePage.key("save_model"),
        icon=":material/save:",
        width="stretch",
        disabled=chosen.recipe == chosen.study.model.recipe,
        on_click=_save,
        args=(chosen.model, chosen.recipe),
        help="A separate model with these edits applied. It is listed on every page and can be exported.",
    )
    _saving(chosen.root)


def _save(model: str, recipe: Recipe) -> None:
    parameters: Mapping[str, object] = {"model": model, "recipe": json.loads(recipe.to_json()), "replace": True}
    with messages.refusals(at=_SAVE):
        job_panel.submit("edit", parameters, title=f"Save the model with {counted(len(recipe.active), 'edit')}")


def _saving(root: str) -> None:
    messages.show_refusal(at=_SAVE)
    asked = IntervenePage.read().job
    job = job_panel.latest(root, ("edit",)) if asked else None
    if job is None or job.id != asked:
        return
    job = job_panel.watch(job.id, key=IntervenePage.key("save_job"))
    if job.state == "done" and job.result:
        saved = str(job.result["model"])
        if saved in resources.catalogue(root).models:
            IntervenePage().link(saved).draw("Open the saved model", icon=":material/arrow_forward:")
