"""The opened run: what its figures mean, how it compares, and how its concepts fire."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.core.errors import CbmError
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun
from cbm.study.views import Headline
from cbm.ui.frame.cards import headline_row
from cbm.ui.frame.text import percent, plain
from cbm.ui.pages.discover import cached, words
from cbm.ui.pages.discover.gallery import origin
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import discovery as charts
from cbm.ui.widgets.job_words import duration

MANY_DEAD = 0.2


def run_panel(root: str, run: DictionaryRun) -> None:
    """Everything about one run but its names."""
    st.subheader(plain(run.title), anchor=False)
    st.caption(origin(run))
    found = headlines(run)
    if found:
        headline_row(found, key="discover_figures")
        st.markdown(verdict(run))
    else:
        st.caption("This dictionary was brought in from elsewhere; its reconstruction was not measured here.")
    left, right = st.columns(2, gap="medium")
    with left:
        if run.baselines and run.fvu is not None:
            st.markdown("**Against simpler ways**")
            _baselines(run)
    with right:
        try:
            _firing(cached.evidence(root, run), run)
        except CbmError as error:
            st.caption(f":material/image_not_supported: {plain(str(error))}")
    _training(root, run)


def headlines(run: DictionaryRun) -> list[Headline]:
    """The figures that were measured, each with what it means."""
    found = []
    if run.fvu is not None:
        found.append(Headline("Variance explained", percent(1 - run.fvu), words.FVU_HELP, f"FVU {run.fvu:.3f}"))
    if run.cosine is not None:
        found.append(Headline("Cosine", words.figure(run.cosine), words.COSINE_HELP, "about the mean"))
    if run.l0 is not None:
        asked = f"asked: {run.k}" if run.k is not None else "no number was asked for"
        found.append(Headline("Active per image", f"{run.l0:.1f}", words.L0_HELP, asked))
    if run.dead is not None:
        found.append(Headline("Dead concepts", percent(run.dead), words.DEAD_HELP, f"{round(run.dead * run.width):,} of {run.width:,}"))
    if run.seconds:
        speed = f"{run.samples_per_second:,.0f} images/s" if run.samples_per_second else None
        found.append(Headline("Trained in", duration(run.seconds), words.TIME_HELP, speed))
    return found


def verdict(run: DictionaryRun) -> str:
    """What the figures mean, and what one could do about them."""
    if run.fvu is None or run.l0 is None:
        return ""
    sentences = [
        f"With **{run.l0:.0f} of {run.width:,} concepts per image** it keeps "
        f"**{max(0.0, 1 - run.fvu):.0%} of what tells the images apart**."
    ]
    better = [row for row in run.baselines if row.fvu < run.fvu and not row.name.startswith("mean")]
    if better:
        best = min(better, key=lambda row: row.fvu)
        label = words.baseline(best.name).label
        sentences.append(
            f"{label} keeps more ({1 - best.fvu:.0%}), but its directions serve to rebuild images, not to be named: "
            "for that each concept should stand for one thing."
        )
    elif run.baselines:
        sentences.append("None of the simpler ways keeps as much.")
    if run.dead is not None and run.dead > MANY_DEAD:
        sentences.append(
            f"{run.dead:.0%} of its concepts never fire: these images fill a narrower dictionary, "
            f"of about {_power_below((1 - run.dead) * run.width):,} concepts."
        )
    return " ".join(sentences)


def _power_below(width: float) -> int:
    return 2 ** max(4, int(width).bit_length() - 1)


def _baselines(run: DictionaryRun) -> None:
    assert run.fvu is not None
    rows = [(words.baseline(row.name).label, 1 - row.fvu, row.l0, words.baseline(row.name).help) for row in run.baselines]
    rows.append(("This dictionary", 1 - run.fvu, run.l0 or 0.0, "What was learned here."))
    rows.sort(key=lambda row: -row[1])
    own = next(position for position, row in enumerate(rows) if row[0] == "This dictionary")
    st.plotly_chart(
        charts.explained_bars(rows, own),
        key="discover_baselines",
        config=figures.CHART_OPTIONS,
        alt="Variance explained: " + ", ".join(f"{label} {share:.0%}" for label, share, _, _ in rows),
    )


@st.fragment
def _firing(evidence: DictionaryEvidence, run: DictionaryRun) -> None:
    sample = f"on {evidence.images:,} of {evidence.total:,} images" if evidence.images < evidence.total else f"on {evidence.total:,} images"
    shown = st.segmented_control(
        "What to count",
        ["How often concepts fire", "Concepts per image"],
        default="How often concepts fire",
        required=True,
        key="discover_counted",
        label_visibility="collapsed",
    )
    if shown == "Concepts per image":
        figure = charts.active_histogram(evidence.active, run.k)
        alt = f"Images by their number of active concepts; the mean is {evidence.active.mean():.1f}"
    else:
        figure = charts.frequency_histogram(evidence.frequency, evidence.images)
        alt = f"Concepts by the share of images on which they fire; {int((evidence.frequency == 0).sum()):,} never fire"
    st.plotly_chart(figure, key=f"discover_firing-{shown}", config=figures.CHART_OPTIONS, alt=alt)
    st.caption(f"Counted {sample}.")


def _training(root: str, run: DictionaryRun) -> None:
    points = cached.history(root, run.id)
    if len(points) < 2:
        return
    opened = st.expander("How the training went", icon=":material/show_chart:", key="discover_history", on_change="rerun")
    if not opened.open:
        return
    samples = [point.samples for point in points]
    series: Sequence[tuple[str, list[float], str]] = (
        ("Unexplained variance (FVU)", [point.fvu for point in points], ".3f"),
        ("Active concepts (L0)", [point.l0 for point in points], ".1f"),
        ("Dead concepts", [point.dead for point in points], ".1%"),
    )
    with opened:
        with st.grid(3, min_column_width=230, gap="small", key="discover_training") as grid:
            for position, (title, values, number) in enumerate(series):
                grid.plotly_chart(
                    charts.training_curve(title, samples, values, position, number),
                    key=f"discover_training-{position}",
                    config=figures.CHART_OPTIONS,
                    alt=f"{title} while it trained, {values[-1]:{number}} at the end",
                )
        st.caption("On images kept out of training; dead here means silent for one whole pass over the images.")
