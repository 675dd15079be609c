"""All runs, each with pictures of what it found."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from cbm.core.errors import CbmError
from cbm.study.dictionary_runs import DictionaryRun
from cbm.ui.frame.text import percent, plain
from cbm.ui.pages.discover import address, cached
from cbm.ui.widgets.thumbnails import strip, theme

PER_PAGE = 4


def badges(run: DictionaryRun) -> str:
    """The figures of a run as Markdown badges; what was not measured is left out."""
    parts = []
    if run.fvu is not None:
        parts.append(f":blue-badge[FVU {run.fvu:.3f}]")
    if run.cosine is not None:
        parts.append(f":blue-badge[cosine {run.cosine:.2f}]")
    if run.l0 is not None:
        parts.append(f":gray-badge[L0 {run.l0:.1f}]")
    if run.dead is not None:
        parts.append(f":{'orange' if run.dead > 0.2 else 'gray'}-badge[{percent(run.dead)} dead]")
    return " ".join(parts)


def origin(run: DictionaryRun) -> str:
    """What a run was learned from, when, and with which seed."""
    images = ", ".join(plain(source) for source in run.sources[:2]) + (f" and {len(run.sources) - 2} more" if len(run.sources) > 2 else "")
    parts = [images or "images that are gone", run.backbone.architecture if run.backbone else "", run.day]
    return " · ".join([*filter(None, parts), *([f"seed {run.seed}"] if run.seed is not None else [])])


def gallery(root: str, runs: Sequence[DictionaryRun], chosen: DictionaryRun) -> None:
    """A card for each run, newest first; the chosen one's button is filled."""
    pages = -(-len(runs) // PER_PAGE)
    page = 1
    if pages > 1:
        caption, pager = st.columns([1, 1], vertical_alignment="center")
        caption.caption(f"{len(runs)} dictionaries, newest first")
        with pager.container(horizontal=True, horizontal_alignment="right"):
            page = st.pagination(pages, default=1 + list(runs).index(chosen) // PER_PAGE, key=f"discover_runs-{len(runs)}", width=240)
    with st.grid(PER_PAGE, min_column_width=150, gap="small", border=True, key="discover_gallery") as grid:
        for run in runs[(page - 1) * PER_PAGE : page * PER_PAGE]:
            with grid.cell():
                _card(root, run, run.id == chosen.id)


def _card(root: str, run: DictionaryRun, chosen: bool) -> None:
    try:
        pictures = cached.evidence(root, run).portrait()
    except CbmError:
        pictures = ()
    if pictures:
        st.image(strip(pictures, theme()), width="stretch", alt=f"One image for each of the most telling concepts of {run.title}")
    else:
        st.caption(":material/image_not_supported: No pictures: its images are not at hand")
    st.button(
        plain(run.short),
        key=f"open_run-{run.id}",
        type="primary" if chosen else "secondary",
        width="stretch",
        wrap=True,
        on_click=address.open_run,
        args=(run.id,),
        help=f"Open {run.id}",
    )
    st.markdown(badges(run) or ":gray-badge[not measured]")
    first = f"{plain(run.sources[0])}{f' + {len(run.sources) - 1} more' if len(run.sources) > 1 else ''} · " if run.sources else ""
    seed = "" if run.seed is None else f" · seed {run.seed}"
    st.caption(f"{first}{run.images:,} images · {run.day}{seed}")
