"""The form of a new run: few settings, each in plain words, and what it will cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cbm.core.errors import CbmError
from cbm.dictionaries.part import DictionaryPart
from cbm.dictionaries.sizes import DictionarySize, sound_size
from cbm.registry import DICTIONARIES
from cbm.study.dictionary_runs import DictionaryRun
from cbm.study.image_sets import ImageSet
from cbm.study.training_costs import training_cost
from cbm.ui.access import modes
from cbm.ui.frame import messages
from cbm.ui.frame.formats import counted
from cbm.ui.frame.state import DiscoverPage, fits
from cbm.ui.widgets import job_panel
from cbm.ui.widgets.settings_form import Look, field_help, settings_form

WIDTHS = tuple(2**power for power in range(4, 16))
KS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
FEWEST = 8
"""Images; with fewer nothing can be held out."""
WIDTH_LABEL, K_LABEL = "Concepts to look for (width)", "Concepts per image (k)"
SEED_HELP = "The seed of everything random. Another seed finds partly different concepts; a sweep measures how many are the same."
_SIZE = ("width", "k")
_LOOKS = {
    "epochs": Look("Passes over the images", placeholder="by their number"),
    "learning_rate": Look(step=1e-4, placeholder="0.003, or the recipe's"),
    "matryoshka": Look("Coarse concepts first (Matryoshka)", switch=(0.125, 0.25, 0.5, 1.0)),
}


def choose_sets(sets: Sequence[ImageSet], runs: Sequence[DictionaryRun], *, key: str) -> list[ImageSet]:
    """Which images to learn from: by default those that the link names, else those of the newest run, else the newest set.

    Returns:
        The chosen sets, of one backbone; empty where they do not fit, which was then said.
    """
    by_id = {entry.id: entry for entry in sets}
    asked = DiscoverPage.read().embeddings
    linked = [identifier for identifier in by_id if fits(identifier, asked)]
    default = linked or [identifier for identifier in (runs[0].sets if runs else ()) if identifier in by_id] or [sets[0].id]
    chosen = st.multiselect(
        "Images to learn from",
        list(by_id),
        default=default,
        format_func=lambda identifier: _set_label(by_id[identifier]),
        # A link to other images must not meet a choice that was made before.
        key=f"{key}-{asked}" if linked else key,
        help="Embedding sets from the Data page. Several are combined; labels are ignored.",
        persist_state="session",
    )
    found = [by_id[identifier] for identifier in chosen]
    if not found:
        st.info("Choose at least one set of images.", icon=":material/info:")
        return []
    if any(not part.backbone.matches(found[0].backbone) or part.space != found[0].space for part in found):
        messages.error(
            "These sets come from different backbones or spaces, so their vectors are not comparable. Choose sets of one backbone."
        )
        return []
    if sum(part.count for part in found) < FEWEST:
        messages.error(f"{counted(sum(part.count for part in found), 'image')} are too few for discovery; choose a larger set.")
        return []
    return found


def _set_label(entry: ImageSet) -> str:
    return f"{entry.title} · {counted(entry.count, 'image')} · {entry.backbone.architecture}"


def new_run(sets: Sequence[ImageSet], runs: Sequence[DictionaryRun]) -> None:
    """The form, and the button that submits it."""
    with st.container(border=True, key="new_run"):
        chosen = choose_sets(sets, runs, key="new_run_sets")
        if not chosen:
            return
        images, dim = sum(part.count for part in chosen), chosen[0].dim
        variant = st.selectbox(
            "Method",
            list(DICTIONARIES.names),
            format_func=lambda name: DICTIONARIES[name].label,
            key="new_run_variant",
            persist_state="session",
        )
        part = DICTIONARIES[variant]
        st.caption(part.summary)
        scope = f"{images}-{dim}-{variant}"
        asked = size_form(part, sound_size(images, dim), dim, scope)
        with st.expander("Advanced settings", icon=":material/tune:", key="new_run_advanced"):
            seed = st.number_input("Seed", 0, 2**31, 0, key=f"new_run_seed-{scope}", help=SEED_HELP)
            asked |= settings_form(part.settings, prefix="new_run", scope=scope, without=_SIZE, looks=_LOOKS)
        try:
            settings = part.make_settings(asked, dim)
        except CbmError as error:
            messages.error(str(error))
            return
        dims = {entry.id: entry.dim for entry in sets}
        cost = training_cost(runs, dims, variant=variant, width=settings.width, dim=dim, images=images, epochs=asked.get("epochs"))
        st.markdown(f":material/schedule: {counted(images, 'image')} of {dim} numbers each: **{cost.text}**.")
        if st.button("Discover concepts", key="new_run_start", type="primary", icon=":material/travel_explore:"):
            modes.require_write()
            names = ", ".join(entry.title for entry in chosen[:2]) + (" …" if len(chosen) > 2 else "")
            size = "" if part.fixed_width else f", {counted(settings.width, 'concept')}"
            request = {"embeddings": [entry.id for entry in chosen], "variant": variant, "seed": int(seed), **asked}
            job_panel.ask("discover", request, title=f"{part.label}{size} in {names}")
            st.rerun()


def with_sound(offered: Sequence[int], sound: int) -> list[int]:
    """The numbers on offer with the sound one among them: that follows from the embedding's dimension, which may be any."""
    return sorted({*offered, sound})


def size_form(part: DictionaryPart, sound: DictionarySize, dim: int, scope: str) -> dict[str, Any]:
    """Width and sparsity; keyed by what the defaults depend on, so that other images bring other defaults."""
    looks = {
        "width": Look(WIDTH_LABEL, value=sound.width, options=with_sound(WIDTHS, sound.width)),
        "k": Look(K_LABEL, value=sound.k, options=with_sound(KS, sound.k)),
    }
    left, right = st.columns(2, gap="medium")
    asked: dict[str, Any] = {}
    with left:
        if part.fixed_width:
            st.caption(f"**{WIDTH_LABEL}.** {field_help(part.settings, 'width')}")
        else:
            asked |= settings_form(part.settings, prefix="new_run", scope=scope, only=("width",), looks=looks)
            st.caption("Recommended for these images" + ("" if asked["width"] == sound.width else f": {sound.width:,}"))
    with right:
        asked |= settings_form(part.settings, prefix="new_run", scope=scope, only=("k",), looks=looks)
        if "k" in asked:
            st.caption("Recommended for this backbone" + ("" if asked["k"] == sound.k else f": {sound.k}"))
            asked["k"] = min(asked["k"], asked.get("width", asked["k"]))
    return asked
