"""The form of a new run: few settings, each in plain words, and what it will cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from cbm.dictionaries.dn_cbm import dn_cbm
from cbm.dictionaries.sizes import DictionarySize, sound_size
from cbm.registry import DICTIONARIES
from cbm.study.dictionary_runs import DictionaryRun
from cbm.study.image_sets import ImageSet
from cbm.study.training_costs import training_cost
from cbm.ui.access import modes
from cbm.ui.frame import messages
from cbm.ui.frame.formats import counted
from cbm.ui.frame.state import DiscoverPage, fits
from cbm.ui.pages.discover import words
from cbm.ui.widgets import job_panel

WIDTHS = tuple(2**power for power in range(4, 16))
KS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
FEWEST = 8
"""Images; with fewer nothing can be held out."""
_FIXED_WIDTH = ("dn-cbm", "pca", "neurons")
_MATRYOSHKA = [0.125, 0.25, 0.5, 1.0]


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
            DICTIONARIES.names,
            format_func=lambda name: DICTIONARIES[name].label,
            key="new_run_variant",
            persist_state="session",
        )
        st.caption(DICTIONARIES[variant].summary)
        scope = f"{images}-{dim}-{variant}"
        size = _size(variant, sound_size(images, dim), dim, scope)
        settings: dict[str, Any] = {"variant": variant, "k": size.k}
        if variant not in _FIXED_WIDTH:
            settings["width"] = size.width
        settings |= _advanced(variant, scope)
        cost = training_cost(
            runs,
            {part.id: part.dim for part in sets},
            variant=variant,
            width=size.width,
            dim=dim,
            images=images,
            epochs=settings.get("epochs"),
        )
        st.markdown(f":material/schedule: {counted(images, 'image')} of {dim} numbers each: **{cost.text}**.")
        if st.button("Discover concepts", key="new_run_start", type="primary", icon=":material/travel_explore:"):
            modes.require_write()
            names = ", ".join(part.title for part in chosen[:2]) + (" …" if len(chosen) > 2 else "")
            title = f"{DICTIONARIES[variant].label}, {counted(size.width, 'concept')} in {names}"
            job_panel.ask("discover", {"embeddings": [part.id for part in chosen], **settings}, title=title)
            st.rerun()


def with_sound(offered: Sequence[int], sound: int) -> list[int]:
    """The numbers on offer with the sound one among them: that follows from the embedding's dimension, which may be any."""
    return sorted({*offered, sound})


def _size(variant: str, sound: DictionarySize, dim: int, scope: str) -> DictionarySize:
    """Width and sparsity; keyed by what the defaults depend on, so that other images bring other defaults."""
    if variant == "dn-cbm":
        width = dn_cbm(dim).variant.width
        st.caption(f"Its width is fixed: {width:,} concepts, eight for each dimension of the embedding.")
        return DictionarySize(width, sound.k)
    left, right = st.columns(2, gap="medium")
    width = left.select_slider(
        "Concepts to look for (width)",
        with_sound(WIDTHS, sound.width),
        value=sound.width,
        format_func=lambda value: f"{value:,}",
        key=f"new_run_width-{scope}",
        help=words.WIDTH_HELP,
        disabled=variant in _FIXED_WIDTH,
    )
    left.caption(f"Recommended for these images: {sound.width:,}" if width != sound.width else "Recommended for these images")
    k = right.select_slider(
        "Concepts per image (k)",
        with_sound(KS, sound.k),
        value=sound.k,
        key=f"new_run_k-{scope}",
        help=words.K_HELP,
        disabled=variant == "kmeans",
    )
    right.caption(f"Recommended for this backbone: {sound.k}" if k != sound.k else "Recommended for this backbone")
    return DictionarySize(int(width), min(int(k), int(width)))


def _advanced(variant: str, scope: str) -> dict[str, Any]:
    with st.expander("Advanced settings", icon=":material/tune:", key="new_run_advanced"):
        seed = st.number_input("Seed", 0, 2**31, 0, key=f"new_run_seed-{scope}", help=words.SEED_HELP)
        settings: dict[str, Any] = {"seed": int(seed)}
        if not DICTIONARIES[variant].trained:
            return settings
        epochs = st.number_input(
            "Passes over the images", 1, 100_000, None, key=f"new_run_epochs-{scope}", help=words.EPOCHS_HELP, placeholder="by their number"
        )
        rate = st.number_input(
            "Learning rate",
            1e-6,
            1.0,
            None,
            step=1e-4,
            format="%.5f",
            key=f"new_run_rate-{scope}",
            help=words.RATE_HELP,
            placeholder="0.003, or the recipe's",
        )
        if epochs is not None:
            settings["epochs"] = int(epochs)
        if rate is not None:
            settings["learning_rate"] = float(rate)
        if variant != "dn-cbm" and st.toggle(
            "Coarse concepts first (Matryoshka)", key=f"new_run_nested-{scope}", help=words.MATRYOSHKA_HELP
        ):
            settings["matryoshka"] = _MATRYOSHKA
    return settings
