"""The lower half of the intervene page: what the edits in force do to all held-out images, and the edits one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from cbm.editing.recipe import Recipe
from cbm.study.views import EditLine, EffectView, PictureTile
from cbm.ui.frame import session
from cbm.ui.frame.shell import edit_lines
from cbm.ui.frame.text import counted, percent, plain, points
from cbm.ui.pages.intervene.measuring import Marginal
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures.effect import accuracy_moves
from cbm.ui.widgets.thumbnails import thumbnail

_SHOWN_PICTURES = 8


def effect_panel(effect: EffectView, item_of: Callable[[int], str]) -> None:
    """Accuracy, what was corrected and broken, the worst group, and the classes that moved.

    Args:
        item_of: row -> name of the image in the address.
    """
    _figures(effect)
    if effect.moved:
        with st.container():
            st.markdown("**Classes and groups that moved**")
            st.plotly_chart(
                accuracy_moves(effect.moved),
                key="moved_classes",
                config=figures.CHART_OPTIONS,
                alt="Accuracy before and after: "
                + ", ".join(f"{name} {percent(before)} to {percent(after)}" for name, before, after in effect.moved[:8]),
            )
    _pictures(effect, item_of)


def _figures(effect: EffectView) -> None:
    with st.grid(3 if effect.worst_group_after is None else 4, min_column_width=130, gap="small", key="effect_figures") as grid:
        grid.metric(
            "Accuracy",
            percent(effect.accuracy_after),
            points(effect.accuracy_before, effect.accuracy_after),
            help=f"On {effect.images:,} held-out images; {percent(effect.accuracy_before)} before the edits.",
            border=True,
            delta_color="off" if effect.accuracy_after == effect.accuracy_before else "normal",
            delta_arrow="off" if effect.accuracy_after == effect.accuracy_before else "auto",
        )
        grid.metric(
            "Corrected", f"{effect.corrected_count:,}", help="Images that were wrong and are right now.", border=True, height="stretch"
        )
        grid.metric(
            "Newly wrong", f"{effect.newly_wrong_count:,}", help="Images that were right and are wrong now.", border=True, height="stretch"
        )
        if effect.worst_group_after is not None and effect.worst_group_before is not None:
            grid.metric(
                "Worst group",
                percent(effect.worst_group_after),
                points(effect.worst_group_before, effect.worst_group_after),
                help=f"Accuracy of the group that fares worst, now {effect.worst_group}; {percent(effect.worst_group_before)} before.",
                border=True,
                delta_color="off" if effect.worst_group_after == effect.worst_group_before else "normal",
                delta_arrow="off" if effect.worst_group_after == effect.worst_group_before else "auto",
            )


def _pictures(effect: EffectView, item_of: Callable[[int], str]) -> None:
    for title, icon, tiles, count in (
        ("Corrected", ":material/check:", effect.corrected, effect.corrected_count),
        ("Newly wrong", ":material/close:", effect.newly_wrong, effect.newly_wrong_count),
    ):
        if not tiles:
            continue
        more = f", {_SHOWN_PICTURES} shown" if count > _SHOWN_PICTURES else ""
        st.markdown(f"{icon} **{title}** ({count:,}{more})")
        _linked_pictures(tiles[:_SHOWN_PICTURES], item_of, key=f"effect-{title.lower().replace(' ', '-')}")


def _linked_pictures(tiles: Sequence[PictureTile], item_of: Callable[[int], str], *, key: str) -> None:
    """Thumbnails; the button below each makes it the image of the page."""
    with st.grid("auto", min_column_width=100, gap="small", key=key) as grid:
        for tile in tiles:
            with grid.cell():
                st.image(thumbnail(tile.uri), width="stretch", alt=tile.alt)
                st.button(
                    plain(tile.title),
                    key=f"{key}-{tile.row}",
                    type="tertiary",
                    width="stretch",
                    help=f"{tile.alt}. Look at this image",
                    on_click=session.put_image_in_link,
                    args=(item_of(tile.row),),
                )


def edits_panel(recipe: Recipe, marginals: Sequence[Marginal | None], *, model: str) -> None:
    """Every edit in order, with a switch, what it does on top of those before it, and the ways back."""
    lines = edit_lines(recipe)
    st.markdown("**Edits**, in order")
    for line, marginal in zip(lines, marginals, strict=True):
        _edit_line(line, marginal, model=model, last=line.position == recipe.position - 1)
    undone = len(recipe) - recipe.position
    if undone:
        st.caption(f"{counted(undone, 'edit')} taken back; redo brings them again.")
    if not len(recipe):
        st.caption("None yet. They appear here one by one, each with what it changes.")
    if lines:
        st.caption("Each line counts what the edit changes on top of those above it.")


def _edit_line(line: EditLine, marginal: Marginal | None, *, model: str, last: bool) -> None:
    with st.container(border=True, gap="xsmall", key=f"edit_line-{line.position}"):
        key = f"edit-{line.position}"
        st.session_state[key] = line.enabled
        st.toggle(f"{line.icon} {plain(line.text)}", key=key, on_change=_switch, args=(model, line.position, key))
        st.caption(_marginal_words(line, marginal))
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Remove",
                key=f"remove-{line.position}",
                type="tertiary",
                icon=":material/delete:",
                help="Take this edit off the list. To be able to bring it back, switch it off instead.",
                on_click=session.change_recipe,
                args=(model, _without(line.position)),
            )
            if not last:
                st.button(
                    "Back to here",
                    key=f"back_to-{line.position}",
                    type="tertiary",
                    icon=":material/history:",
                    help="Take back every edit after this one; redo brings them again.",
                    on_click=session.change_recipe,
                    args=(model, _back_to(line.position + 1)),
                )


def _marginal_words(line: EditLine, marginal: Marginal | None) -> str:
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
    session.switch(model, position, bool(st.session_state[key]))


def _back_to(position: int) -> Callable[[Recipe], Recipe]:
    return lambda recipe: recipe.back_to(position)


def _without(position: int) -> Callable[[Recipe], Recipe]:
    return lambda recipe: recipe.remove(position)
