"""The form of a new run, and sweeps: many sizes in one job, and a chart on which to pick one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from cbm.core.errors import CbmError
from cbm.dictionaries.part import DictionaryPart
from cbm.dictionaries.sizes import DictionarySize, sound_size
from cbm.registry import DICTIONARIES, VERBS
from cbm.study.dictionary_runs import DictionaryRun
from cbm.study.image_sets import ImageSet
from cbm.study.training_costs import Cost, training_cost
from cbm.ui.access import modes
from cbm.ui.frame import messages, resources
from cbm.ui.frame.formats import counted, plain
from cbm.ui.frame.slots import chosen_points
from cbm.ui.frame.state import DiscoverPage, fits
from cbm.ui.pages.discover.runs import COSINE_HELP, DEAD_HELP, FVU_HELP, L0_HELP, STABILITY_HELP, TIME_HELP, open_run
from cbm.ui.widgets import figures, job_panel
from cbm.ui.widgets.figures import discovery as charts
from cbm.ui.widgets.settings_form import Look, field_help, settings_form
from cbm.verbs.sweep import MOST_RUNS, SweepRun, suggest

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


# Sweeps

CHART = "sweep_chart"
TABLE = "sweep_table"


def sweep_view(root: str, sets: Sequence[ImageSet], runs: Sequence[DictionaryRun]) -> None:
    """What there is on the same images, to pick from; and a form for more."""
    comparable = _comparable(runs)
    if len(comparable) > 1:
        _results(root, comparable)
    else:
        st.markdown(
            "How many concepts, and how many per image? A sweep trains one dictionary for each combination in a single job, "
            "then shows on one chart what sparsity costs, and which one to choose."
        )
    with st.expander("Try several sizes at once", icon=":material/grid_on:", expanded=len(comparable) < 2, key="sweep_form"):
        _form(sets, runs)


def _comparable(runs: Sequence[DictionaryRun]) -> list[DictionaryRun]:
    """The measured runs on the images of most runs, the newest in doubt: figures on different images say nothing about each other."""
    measured = [run for run in runs if run.fvu is not None and run.l0 is not None and run.sets]
    groups: dict[tuple[str, ...], list[DictionaryRun]] = {}
    for run in measured:
        groups.setdefault(tuple(sorted(run.sets)), []).append(run)
    if not groups:
        return []
    names = {key: ", ".join(found[0].sources) for key, found in groups.items()}
    if len(groups) == 1:
        return next(iter(groups.values()))
    order = sorted(groups, key=lambda key: -len(groups[key]))
    chosen = st.selectbox(
        "Dictionaries on",
        order,
        format_func=lambda key: f"{names[key]}: {counted(len(groups[key]), 'run')}",
        key="sweep_images",
        help="Figures compare only where dictionaries were measured on the same images.",
        persist_state="session",
    )
    return groups[chosen]


def _results(root: str, runs: Sequence[DictionaryRun]) -> None:
    stability = _stabilities(root)
    suggested = suggest([_as_sweep_run(run) for run in runs])
    st.caption(
        "Each point is one dictionary. Further left is easier to read, lower keeps more of the images: the best are near the corner. "
        "Click a point, or a row of the table, to open it."
    )
    by_width = sorted(runs, key=lambda run: (run.method, run.width, run.k or 0))
    points = [(run.id, run.l0 or 0.0, run.fvu or 0.0, _series(run), _hover(run, stability.get(run.id))) for run in by_width]
    st.plotly_chart(
        charts.sweep_chart(points, suggested),
        key=CHART,
        config=figures.CHART_OPTIONS,
        on_select=_open_point,
        selection_mode="points",
        alt="Unexplained variance over active concepts: "
        + "; ".join(f"{run.short}: FVU {run.fvu:.3f}, L0 {run.l0:.1f}" for run in runs[:12]),
    )
    best = next(run for run in runs if run.id == suggested)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            f"Open {plain(best.short)}",
            key="sweep_open_suggested",
            type="primary",
            icon=":material/ads_click:",
            on_click=open_run,
            args=(best.id,),
        )
        st.caption("Ringed on the chart: the sparsest, then narrowest, of those within 0.02 of the best FVU.")
    _table(runs, stability)


def _table(runs: Sequence[DictionaryRun], stability: dict[str, float]) -> None:
    ordered = sorted(runs, key=lambda run: (run.width, run.k or 0, run.seed or 0))
    frame = pd.DataFrame(
        {
            "Method": [run.method for run in ordered],
            "Concepts": [run.width for run in ordered],
            "k": [run.k for run in ordered],
            "Seed": [run.seed for run in ordered],
            "FVU": [run.fvu for run in ordered],
            "Cosine": [run.cosine for run in ordered],
            "L0": [run.l0 for run in ordered],
            "Dead": [None if run.dead is None else 100 * run.dead for run in ordered],
            "Stability": [stability.get(run.id) for run in ordered],
            "Seconds": [run.seconds for run in ordered],
        }
    )
    columns: dict[str, Any] = {
        "FVU": st.column_config.NumberColumn(format="%.3f", help=FVU_HELP),
        "Cosine": st.column_config.NumberColumn(format="%.3f", help=COSINE_HELP),
        "L0": st.column_config.NumberColumn(format="%.1f", help=L0_HELP),
        "Dead": st.column_config.NumberColumn(format="%.0f%%", help=DEAD_HELP),
        "Stability": st.column_config.NumberColumn(format="%.2f", help=STABILITY_HELP),
        "Seconds": st.column_config.NumberColumn(format="%.1f", help=TIME_HELP),
    }
    if not any(stability.get(run.id) for run in ordered):
        frame = frame.drop(columns="Stability")
    event = st.dataframe(
        frame,
        hide_index=True,
        column_config=columns,
        key=f"{TABLE}-{len(ordered)}",
        on_select="rerun",
        selection_mode="single-row",
        alt="All dictionaries of the chart with their figures",
    )
    rows = event["selection"]["rows"]
    if rows and rows[0] < len(ordered):
        run = ordered[rows[0]]
        label = f"Open {plain(run.short)}"
        st.button(label, key="sweep_open_row", icon=":material/open_in_full:", on_click=open_run, args=(run.id,))


def _open_point() -> None:
    points = chosen_points(CHART)
    if points and points[0].get("customdata"):
        open_run(str(points[0]["customdata"][0]))


def _series(run: DictionaryRun) -> str:
    return f"{run.method}, {run.width:,} concepts"


def _hover(run: DictionaryRun, stability: float | None) -> str:
    parts = [f"<b>{run.short}</b>", f"FVU {run.fvu:.3f}", f"L0 {run.l0:.1f}", f"cosine {run.cosine or 0:.3f}", f"dead {run.dead or 0:.1%}"]
    if stability is not None:
        parts.append(f"stability {stability:.2f}")
    return "<br>".join([*parts, f"seed {run.seed}"])


def _as_sweep_run(run: DictionaryRun) -> SweepRun:
    # A method without k is as sparse as it was measured to be, not the sparsest of all.
    k = round(run.l0 or 0.0) if run.k is None else run.k
    return SweepRun(run.id, run.width, k, run.seed or 0, run.fvu or 0.0, run.cosine or 0.0, run.l0 or 0.0, run.dead or 0.0, None, 0.0)


def _stabilities(root: str) -> dict[str, float]:
    """What finished sweeps measured, by dictionary."""
    found: dict[str, float] = {}
    for job in reversed(resources.jobs(root).list()):
        if job.kind == "sweep" and job.result:
            found |= {run["dictionary"]: run["stability"] for run in job.result["runs"] if run["stability"] is not None}
    return found


def _form(sets: Sequence[ImageSet], runs: Sequence[DictionaryRun]) -> None:
    chosen = choose_sets(sets, runs, key="sweep_sets")
    if not chosen:
        return
    images, dim = sum(part.count for part in chosen), chosen[0].dim
    sound = sound_size(images, dim)
    scope = f"{images}-{dim}"
    near = with_sound([width for width in WIDTHS if sound.width // 4 <= width <= 4 * sound.width], sound.width)
    sparse = with_sound([k for k in KS if k <= 4 * sound.k], sound.k)
    variant = st.segmented_control(
        "Method",
        [part.name for part in DICTIONARIES if part.trained and not part.fixed_width],
        default=VERBS["sweep"].settings.variant,
        required=True,
        format_func=lambda name: DICTIONARIES[name].label,
        key="sweep_variant",
        persist_state="session",
    )
    widths = st.pills(
        WIDTH_LABEL,
        near,
        selection_mode="multi",
        default=[width for width in (sound.width // 2, sound.width) if width in near],
        format_func=lambda value: f"{value:,}",
        key=f"sweep_widths-{scope}",
        help=field_help(DICTIONARIES[variant].settings, "width"),
    )
    ks = st.pills(
        K_LABEL,
        sparse,
        selection_mode="multi",
        default=sorted({max(1, sound.k // 4), max(1, sound.k // 2), sound.k} & set(sparse)),
        key=f"sweep_ks-{scope}",
        help=field_help(DICTIONARIES[variant].settings, "k"),
    )
    seeds = st.slider("Seeds of each", 1, 5, 1, key="sweep_seeds", help=SEED_HELP, persist_state="session")
    wanted = [(width, k) for width in widths for k in ks if k <= width]
    count = len(wanted) * seeds
    if not 1 <= count <= MOST_RUNS:
        messages.error(f"Choose at least one width and one k, and at most {MOST_RUNS} dictionaries in all; now it is {count}.")
        return
    dims = {part.id: part.dim for part in sets}
    costs = [training_cost(runs, dims, variant=str(variant), width=width, dim=dim, images=images, epochs=None) for width, _ in wanted]
    cost = Cost(seeds * sum(part.seconds for part in costs), costs[0].measured)
    many = "1 dictionary" if count == 1 else f"{count:,} dictionaries"
    st.markdown(f":material/schedule: **{many}**, {cost.text}; less where some exist.")
    if st.button("Start the sweep", key="sweep_start", type="primary", icon=":material/scatter_plot:"):
        modes.require_write()
        request = {
            "embeddings": [part.id for part in chosen],
            "widths": sorted(widths),
            "ks": sorted(ks),
            "seeds": list(range(seeds)),
            "variant": variant,
        }
        job_panel.ask("sweep", request, title=f"Sweep of {count} dictionaries in {chosen[0].title}")
        st.rerun()
