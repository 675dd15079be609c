"""The dictionaries of the workspace with pictures of what they found, and the opened one: what its figures mean, and how it compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from cbm.core.errors import CbmError, NotFoundError
from cbm.dictionaries.base import load_dictionary
from cbm.dictionaries.trainer import HistoryPoint
from cbm.names.concepts import ConceptTable
from cbm.study import dictionary_runs
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.study.image_sets import ImageSet, readable_image_sets
from cbm.ui.frame import cache, messages, resources
from cbm.ui.frame.formats import duration, percent, plain
from cbm.ui.frame.layout import Headline, headline_row, pager
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import DiscoverPage, short
from cbm.ui.widgets import figures
from cbm.ui.widgets.figures import discovery as charts
from cbm.ui.widgets.thumbnails import strip, theme
from cbm.workspace import ConceptsArtifact, DictionaryArtifact, EmbeddingsArtifact, ModelArtifact, VocabularyArtifact, Workspace

WANTED_VIEW = Slot[str | None]("discover_wanted_view", None)
"""The view that the next run of the page is to show, whose choice has a widget of its own."""


def open_run(dictionary: str, *, names: str | None = None) -> None:
    """Callback: let the page show this run, perhaps with these names, from its next run on."""
    DiscoverPage.put(dictionary=short(dictionary), concepts=None if names is None else short(names))
    WANTED_VIEW.put(DiscoverPage.RUNS)


# What is read from the workspace, once for all visitors


def image_sets(root: str) -> tuple[ImageSet, ...]:
    """The embedding sets, newest first."""
    return _image_sets(root, _stamp(root))


def all_runs(root: str) -> tuple[DictionaryRun, ...]:
    """The dictionaries, newest first."""
    return _runs(root, _stamp(root))


def tables(root: str, run: DictionaryRun) -> tuple[NamedTable, ...]:
    """The named tables of a dictionary, newest first."""
    concepts, models = resources.artifacts(root, ConceptsArtifact), resources.artifacts(root, ModelArtifact)
    return dictionary_runs.named_tables(run.id, concepts, resources.artifacts(root, VocabularyArtifact), models, run.width)


def _stamp(root: str) -> int:
    folder = Path(root) / "artifacts"
    return folder.stat().st_mtime_ns if folder.exists() else 0


@cache.remember()
def _image_sets(root: str, stamp: int) -> tuple[ImageSet, ...]:
    return readable_image_sets(resources.artifacts(root, EmbeddingsArtifact))


@cache.remember()
def _runs(root: str, stamp: int) -> tuple[DictionaryRun, ...]:
    return dictionary_runs.dictionary_runs(resources.artifacts(root, DictionaryArtifact), image_sets(root))


@cache.remember()
def history(root: str, dictionary: str) -> tuple[HistoryPoint, ...]:
    """Training curves; empty where nothing was trained step by step."""
    return dictionary_runs.history(Workspace(root).get(dictionary, DictionaryArtifact))


def evidence_of(root: str, run: DictionaryRun) -> DictionaryEvidence:
    """What a run's concepts fire on.

    Raises:
        NotFoundError: the images it was learned from are gone.
        CorruptArtifactError: a file of it is damaged.
    """
    if not run.sets:
        raise NotFoundError(f"The images that {run.id} was learned from are not in this workspace, so its concepts cannot be shown.")
    return _evidence(root, run.id, run.sets)


@cache.remember("Looking at what the concepts fire on …")
def _evidence(root: str, dictionary: str, sets: tuple[str, ...]) -> DictionaryEvidence:
    found = load_dictionary(Workspace(root).get(dictionary, DictionaryArtifact).path)
    return DictionaryEvidence.of(found, [resources.embedding_set(root, identifier) for identifier in sets])


@cache.remember()
def concept_table(root: str, concepts: str) -> ConceptTable:
    """A table of names."""
    return ConceptTable.load(Workspace(root).get(concepts, ConceptsArtifact).path)


# What the figures mean

FVU_HELP = (
    "Share of the variance between images that the concepts keep, on images held out of training: 1 − FVU "
    "(FVU: fraction of variance unexplained). 100% would rebuild every embedding exactly."
)
COSINE_HELP = "Cosine of the rebuilt embedding and the true one, both about the mean image: 1 is the same direction, 0 is unrelated."
L0_HELP = "Concepts that are active in a held-out image, on average (L0), under the threshold that the finished model uses."
DEAD_HELP = "Concepts that fire on none of the images. They do no harm, but a narrower dictionary would do."
TIME_HELP = "Training only, without the baselines."
STABILITY_HELP = "How closely another seed finds the same directions: 1 is identical. Needs two seeds in one sweep."


class Baseline(NamedTuple):
    """A simpler way to explain the images."""

    label: str
    help: str


_BASELINES: Mapping[str, Baseline] = {
    "mean": Baseline("Mean image", "Every image is replaced by the average one: nothing is explained."),
    "k-means": Baseline("k-means", "Every image is replaced by the centre of its group."),
    "random": Baseline("Random directions", "As many concepts per image, on random directions."),
    "neurons": Baseline("Embedding dimensions", "The largest dimensions of the embedding itself, as many as concepts per image."),
}


def baseline(name: str) -> Baseline:
    """What a row of the baselines is called: `mean`, `pca-32`, `pca-top-32`, …"""
    if name.startswith("pca-top-"):
        count = name.removeprefix("pca-top-")
        return Baseline(f"PCA, best {count} each", f"For each image the {count} strongest principal components.")
    if name.startswith("pca-"):
        count = name.removeprefix("pca-")
        return Baseline(f"PCA, first {count}", f"The same {count} principal components for every image.")
    return _BASELINES.get(name, Baseline(name, ""))


def figure(value: float) -> str:
    """A figure of no unit with three digits and a typographic sign."""
    return f"{value:.3f}".replace("-", "−")


# The gallery of runs, and the opened one

PER_PAGE = 4
MANY_DEAD = 0.2
"""Share of dead concepts from which on a narrower dictionary is advised."""
_NO_PICTURE = ":material/image_not_supported:"


def gallery(root: str, runs: Sequence[DictionaryRun], chosen: DictionaryRun) -> None:
    """A card for each run, newest first; the chosen one's button is filled."""
    part = slice(0, PER_PAGE)
    if len(runs) > PER_PAGE:
        caption, place = st.columns([1, 1], vertical_alignment="center")
        caption.caption(f"{len(runs)} dictionaries, newest first")
        with place.container(horizontal=True, horizontal_alignment="right"):
            part = pager(len(runs), PER_PAGE, key=DiscoverPage.key("runs", len(runs)), start=list(runs).index(chosen))
    with st.grid(PER_PAGE, min_column_width=150, gap="small", border=True, key=DiscoverPage.key("gallery")) as grid:
        for run in runs[part]:
            with grid.cell():
                _card(root, run, run.id == chosen.id)


def _card(root: str, run: DictionaryRun, chosen: bool) -> None:
    try:
        pictures = evidence_of(root, run).portrait()
    except CbmError:
        pictures = ()
    if pictures:
        st.image(strip(pictures, theme()), width="stretch", alt=f"One image for each of the most telling concepts of {run.title}")
    else:
        messages.note("No pictures: its images are not available", icon=_NO_PICTURE)
    st.button(
        plain(run.short),
        key=f"open_run-{run.id}",
        type="primary" if chosen else "secondary",
        width="stretch",
        wrap=True,
        on_click=open_run,
        args=(run.id,),
        help=f"Open {run.id}",
    )
    st.markdown(_badges(run) or ":gray-badge[not measured]")
    first = f"{plain(run.sources[0])}{f' + {len(run.sources) - 1} more' if len(run.sources) > 1 else ''} · " if run.sources else ""
    seed = "" if run.seed is None else f" · seed {run.seed}"
    st.caption(f"{first}{run.images:,} images · {run.day}{seed}")


def _badges(run: DictionaryRun) -> str:
    """The figures of a run as Markdown badges; what was not measured is left out."""
    parts = []
    if run.fvu is not None:
        parts.append(f":blue-badge[FVU {run.fvu:.3f}]")
    if run.cosine is not None:
        parts.append(f":blue-badge[cosine {run.cosine:.2f}]")
    if run.l0 is not None:
        parts.append(f":gray-badge[L0 {run.l0:.1f}]")
    if run.dead is not None:
        parts.append(f":{'orange' if run.dead > MANY_DEAD else 'gray'}-badge[{percent(run.dead)} dead]")
    return " ".join(parts)


def opened(root: str, run: DictionaryRun) -> None:
    """Everything about one run but its names."""
    st.subheader(plain(run.title), anchor=False)
    st.caption(_origin(run))
    found = headlines(run)
    if found:
        headline_row(found, key=DiscoverPage.key("figures"))
        st.markdown(verdict(run))
    else:
        st.caption("This dictionary was imported; its reconstruction was not measured here.")
    left, right = st.columns(2, gap="medium")
    with left:
        if run.baselines and run.fvu is not None:
            st.markdown("**Compared with simpler methods**")
            _baselines(run, run.fvu)
    with right:
        try:
            _firing(evidence_of(root, run), run)
        except CbmError as error:
            messages.note(plain(str(error)), icon=_NO_PICTURE)
    _training(root, run)


def _origin(run: DictionaryRun) -> str:
    """What a run was learned from, when, and with which seed."""
    images = ", ".join(plain(source) for source in run.sources[:2]) + (f" and {len(run.sources) - 2} more" if len(run.sources) > 2 else "")
    parts = [images or "images no longer here", run.backbone.architecture if run.backbone else "", run.day]
    return " · ".join([*filter(None, parts), *([f"seed {run.seed}"] if run.seed is not None else [])])


def headlines(run: DictionaryRun) -> list[Headline]:
    """The figures that were measured, each with what it means."""
    found = []
    if run.fvu is not None:
        found.append(Headline("Variance explained", percent(1 - run.fvu), FVU_HELP, f"FVU {run.fvu:.3f}"))
    if run.cosine is not None:
        found.append(Headline("Cosine", figure(run.cosine), COSINE_HELP, "about the mean"))
    if run.l0 is not None:
        asked = f"asked: {run.k}" if run.k is not None else "no number was requested"
        found.append(Headline("Active per image", f"{run.l0:.1f}", L0_HELP, asked))
    if run.dead is not None:
        found.append(Headline("Dead concepts", percent(run.dead), DEAD_HELP, f"{round(run.dead * run.width):,} of {run.width:,}"))
    if run.seconds:
        speed = f"{run.samples_per_second:,.0f} images/s" if run.samples_per_second else None
        found.append(Headline("Trained in", duration(run.seconds), TIME_HELP, speed))
    return found


def verdict(run: DictionaryRun) -> str:
    """What the figures mean, and what one could do about them."""
    if run.fvu is None or run.l0 is None:
        return ""
    sentences = [
        f"With **{run.l0:.0f} of {run.width:,} concepts per image** it keeps "
        f"**{max(0.0, 1 - run.fvu):.0%} of what distinguishes the images**."
    ]
    better = [row for row in run.baselines if row.fvu < run.fvu and not row.name.startswith("mean")]
    if better:
        best = min(better, key=lambda row: row.fvu)
        sentences.append(
            f"{baseline(best.name).label} keeps more ({1 - best.fvu:.0%}), but its directions serve to rebuild images, "
            "not to be named: for that each concept should mean one thing."
        )
    elif run.baselines:
        sentences.append("None of the simpler methods keeps as much.")
    if run.dead is not None and run.dead > MANY_DEAD:
        sentences.append(
            f"{run.dead:.0%} of its concepts never fire: these images fill a narrower dictionary, "
            f"of about {_power_below((1 - run.dead) * run.width):,} concepts."
        )
    return " ".join(sentences)


def _power_below(width: float) -> int:
    return 2 ** max(4, int(width).bit_length() - 1)


def _baselines(run: DictionaryRun, fvu: float) -> None:
    own = "This dictionary"
    rows = [(baseline(row.name).label, 1 - row.fvu, row.l0, baseline(row.name).help) for row in run.baselines]
    rows.append((own, 1 - fvu, run.l0 or 0.0, "What was learned here."))
    rows.sort(key=lambda row: -row[1])
    st.plotly_chart(
        charts.explained_bars(rows, next(position for position, row in enumerate(rows) if row[0] == own)),
        key=DiscoverPage.key("baselines"),
        config=figures.CHART_OPTIONS,
        alt="Variance explained: " + ", ".join(f"{label} {share:.0%}" for label, share, _, _ in rows),
    )


@st.fragment
def _firing(evidence: DictionaryEvidence, run: DictionaryRun) -> None:
    frequencies, per_image = "How often concepts fire", "Concepts per image"
    shown = st.segmented_control(
        "What to count",
        [frequencies, per_image],
        default=frequencies,
        required=True,
        key=DiscoverPage.key("counted"),
        label_visibility="collapsed",
    )
    if shown == per_image:
        chart = charts.active_histogram(evidence.active, run.k)
        alt = f"Images by their number of active concepts; the mean is {evidence.active.mean():.1f}"
    else:
        chart = charts.frequency_histogram(evidence.frequency, evidence.images)
        alt = f"Concepts by the share of images on which they fire; {int((evidence.frequency == 0).sum()):,} never fire"
    st.plotly_chart(chart, key=DiscoverPage.key("firing", shown), config=figures.CHART_OPTIONS, alt=alt)
    sample = f"{evidence.images:,} of {evidence.total:,}" if evidence.images < evidence.total else f"{evidence.total:,}"
    st.caption(f"Counted on {sample} images.")


def _training(root: str, run: DictionaryRun) -> None:
    points = history(root, run.id)
    if len(points) < 2:
        return
    opened = st.expander("Training curves", icon=":material/show_chart:", key=DiscoverPage.key("history"), on_change="rerun")
    if not opened.open:
        return
    samples = [point.samples for point in points]
    series: Sequence[tuple[str, list[float], str]] = (
        ("Unexplained variance (FVU)", [point.fvu for point in points], ".3f"),
        ("Active concepts (L0)", [point.l0 for point in points], ".1f"),
        ("Dead concepts", [point.dead for point in points], ".1%"),
    )
    with opened:
        with st.grid(3, min_column_width=230, gap="small", key=DiscoverPage.key("training")) as grid:
            for position, (title, values, number) in enumerate(series):
                grid.plotly_chart(
                    charts.training_curve(title, samples, values, position, number),
                    key=DiscoverPage.key("training", position),
                    config=figures.CHART_OPTIONS,
                    alt=f"{title} while it trained, {values[-1]:{number}} at the end",
                )
        st.caption("On images kept out of training; dead here means silent for one whole pass over the images.")
