"""The names of the opened run: how many fit, how well, what they look like, and the form that gives new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from cbm.backbones.architectures import DEMO
from cbm.backbones.reference import BackboneReference
from cbm.core.errors import CbmError, InvalidInputError
from cbm.core.files import whole_file
from cbm.names.names import SHIPPED, read_names
from cbm.registry import RULES, VERBS
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import DictionaryRun, NamedTable
from cbm.ui.access import modes, quotas, uploads
from cbm.ui.access.uploads import Upload
from cbm.ui.frame import messages, resources
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.layout import Headline, headline_row, pager
from cbm.ui.frame.slots import set_widget, widget_value
from cbm.ui.frame.state import ClassifyPage, ConceptPage, ConceptsPage, DiscoverPage, fits, short
from cbm.ui.pages.discover import runs
from cbm.ui.widgets import figures, job_panel
from cbm.ui.widgets.figures import discovery as charts
from cbm.ui.widgets.settings_form import Look, settings_form
from cbm.ui.widgets.thumbnails import strip, theme
from cbm.workspace import VocabularyArtifact, Workspace

PER_PAGE = 8
MOST = 400
"""Concepts that can be leafed through here; the concepts page has them all."""


def panel(root: str, run: DictionaryRun) -> None:
    """The tables of names, the opened one's figures and a sample of it, and the form for another."""
    tables = runs.tables(root, run)
    table = _chosen_table(tables)
    st.subheader("Names", anchor=False)
    if table is None:
        st.markdown(
            "These concepts have no names yet: so far each is a direction, recognisable by its pictures. "
            "Naming finds the words of a list that fit each concept best, and leaves a concept unnamed where none does."
        )
        with st.container(border=True):
            naming_form(root, run)
        _samples(root, run, None)
        return
    if len(tables) > 1:
        _choose(run, tables, table)
    _figures(root, table)
    _samples(root, run, table)
    _lead_on(root, run, table)
    with st.expander("Name them again, from another list or by another rule", icon=":material/label:", key="name_again"):
        naming_form(root, run)


def _chosen_table(tables: Sequence[NamedTable]) -> NamedTable | None:
    """The table of names that the link asks for, or the newest; None where there is none."""
    asked = DiscoverPage.read().concepts
    return next((table for table in tables if fits(table.id, asked)), tables[0] if tables else None)


def _choose(run: DictionaryRun, tables: Sequence[NamedTable], table: NamedTable) -> None:
    by_id = {entry.id: entry for entry in tables}
    key = f"name_table-{run.id}"
    set_widget(key, table.id)
    st.selectbox(
        "Named from",
        list(by_id),
        format_func=lambda identifier: _title(by_id[identifier]),
        key=key,
        on_change=lambda: DiscoverPage.put(concepts=short(str(widget_value(key)))),
    )


def _title(table: NamedTable) -> str:
    rule = RULES[table.rule].label if table.rule in RULES else table.rule
    parts = [table.vocabulary, rule.lower() if rule else "", "each name once" if table.unique else ""]
    return ", ".join(filter(None, parts)) + ("" if table.named is None else f": {table.named:,} named")


def _name_scores(root: str, table: NamedTable) -> tuple[np.ndarray, np.ndarray]:
    """Score of the best name of every concept, and whether it was good enough."""
    found = runs.concept_table(root, table.id)
    return found.frame["score"].to_numpy(np.float64), found.named


def _figures(root: str, table: NamedTable) -> None:
    scores, named = _name_scores(root, table)
    count = int(named.sum()) if table.named is None else table.named
    headline_row(_headlines(table, count, len(named)), key="names_figures")
    left, right = st.columns([3, 2], gap="medium", vertical_alignment="center")
    left.plotly_chart(
        charts.score_histogram(scores, named, table.threshold),
        key=f"names_scores-{table.id}",
        config=figures.CHART_OPTIONS,
        alt=f"Scores of the best names; {count:,} of {len(named):,} lie above chance",
    )
    right.markdown(f"**{plain(_title(table))}**")
    right.caption(
        "A concept stays unnamed where its best name fits no better than names fit random directions: the dashed line. "
        "For more names, use a longer list; to judge them, look at the doubtful ones below."
    )


def _headlines(table: NamedTable, count: int, size: int) -> list[Headline]:
    found = [
        Headline(
            "Named",
            f"{count:,}",
            "Concepts whose best name fits better than names fit random directions.",
            f"{percent(count / max(1, size))} of {size:,}",
        ),
        Headline("Unnamed", f"{size - count:,}", "No name in the list fits them better than chance.", "shown by their pictures"),
    ]
    if table.different is not None:
        shared = count - table.different
        found.append(Headline("Different names", f"{table.different:,}", "Several concepts may have one name.", f"{shared:,} share a name"))
    if table.mean_score is not None:
        limit = None if table.threshold is None else f"by chance {runs.figure(table.threshold)}"
        found.append(Headline("Mean score", runs.figure(table.mean_score), "Of the names given, in the unit of the rule.", limit))
    return found


# A sample of the concepts

Order = Callable[[DictionaryEvidence, np.ndarray, np.ndarray], np.ndarray]


def _masked(order: np.ndarray, keep: np.ndarray) -> np.ndarray:
    return order[keep[order]]


_SAMPLES: Mapping[str, Order] = {
    "Most telling": lambda evidence, scores, named: np.array(evidence.telling(MOST), np.int64),
    "Best names": lambda evidence, scores, named: _masked(np.argsort(-scores, kind="stable"), named & (evidence.frequency > 0)),
    "Doubtful names": lambda evidence, scores, named: _masked(np.argsort(scores, kind="stable"), named & (evidence.frequency > 0)),
    "Unnamed": lambda evidence, scores, named: _masked(np.argsort(-evidence.frequency, kind="stable"), ~named & (evidence.frequency > 0)),
}


@st.fragment
def _samples(root: str, run: DictionaryRun, table: NamedTable | None) -> None:
    try:
        evidence = runs.evidence_of(root, run)
    except CbmError as error:
        messages.note(plain(str(error)), icon=":material/image_not_supported:")
        return
    if table is None:
        scores, named = np.zeros(evidence.concepts), np.zeros(evidence.concepts, bool)
        shown = "Most telling"
    else:
        scores, named = _name_scores(root, table)
        options = [name for name in _SAMPLES if name != "Unnamed" or not named.all()]
        shown = str(st.segmented_control("Sample", options, default=options[0], required=True, key="names_sample", persist_state="session"))
    concepts = _SAMPLES[shown](evidence, scores, named)[:MOST]
    if not len(concepts):
        st.caption("None of them fires on these images.")
        return
    part = pager(len(concepts), PER_PAGE, key=f"names_page-{run.id}-{shown}")
    names = None if table is None else tuple(runs.concept_table(root, table.id).names)
    model = None if table is None else _model_of(root, table)
    with st.grid(4, min_column_width=145, gap="small", border=True, key="names_concepts") as grid:
        for concept in concepts[part].tolist():
            with grid.cell():
                name = f"concept {concept}" if names is None else names[concept]
                score = float(scores[concept]) if named[concept] else None
                _concept(evidence, concept, name, score, model)


def _concept(evidence: DictionaryEvidence, concept: int, name: str, score: float | None, model: str | None) -> None:
    """One concept: its strongest images and its name, which leads to its page where there is a model; `score` is None without a name."""
    pictures = evidence.strongest(concept)
    if pictures:
        st.image(strip(pictures, theme()), width="stretch", alt=f"Images on which “{name}” is strongest")
    label = f":gray[*{plain(name)}*]" if score is None else f"**{plain(name)}**"
    if model is None:
        st.markdown(label)
    else:
        ConceptPage(concept).link(model).draw(label, help="Open its own page")
    fit = "" if score is None else f" · score {runs.figure(score)}"
    st.caption(f"on {percent(float(evidence.frequency[concept]))} of images{fit}")


def _lead_on(root: str, run: DictionaryRun, table: NamedTable) -> None:
    """What comes next: the model that these names belong to, or training one."""
    model = _model_of(root, table)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        if model is not None:
            ConceptsPage().link(model).draw(f"Browse all {run.width:,} concepts", icon=":material/interests:")
        if modes.may_write():
            label = "Train a classifier on these concepts" if model is None else "Classify with these concepts"
            ClassifyPage(concepts=short(table.id)).link().draw(label, icon=":material/category:")


def _model_of(root: str, table: NamedTable) -> str | None:
    """The newest model made from these names; None where there is none."""
    models = resources.catalogue(root).models
    return next((model for model in table.models if model in models), None)


# New names

_LOOKS = {"unique": Look("Each name once")}


@dataclass(frozen=True)
class WordChoice:
    """One list to name with."""

    value: str
    """What the verb `name` takes: a shipped list, or the id of a vocabulary."""
    label: str
    help: str
    encoded: bool
    """Whether its text embeddings exist, so that no weights are needed."""


_SHIPPED = {
    "english": WordChoice("english", "English words", "20,000 common English words, the list used in published work.", False),
    "attributes": WordChoice(
        "attributes", "Attributes", "Some 650 colours, materials, patterns, parts and places: short and visual.", False
    ),
    "scenes": WordChoice(
        "scenes", "Scene words", "The words that the demo's own backbone was trained on. Other backbones know few of them.", False
    ),
}
_UPLOAD = WordChoice(
    "upload", "A list of my own …", "A .txt with one name per line, or an .npz with names and their text embeddings.", True
)


def word_choices(reference: BackboneReference, vocabularies: Sequence[VocabularyArtifact]) -> list[WordChoice]:
    """What the concepts of a backbone can be named with, the most fitting first."""
    existing = []
    for artifact in vocabularies:
        if artifact.backbone is not None and BackboneReference.from_dict(artifact.backbone).matches(reference):
            source = artifact.source or artifact.id
            if source not in SHIPPED or reference.is_foreign:
                count = artifact.figures.count
                label = f"{source} ({count:,} names, encoded)" if count else source
                existing.append(WordChoice(artifact.id, label, "A list already encoded in this workspace.", True))
    demo = reference.architecture == DEMO
    order = ("scenes", "attributes", "english") if demo else ("english", "attributes", "scenes")
    shipped = [_SHIPPED[name] for name in order]
    return [*existing, *shipped] if reference.is_foreign and not demo else [*shipped, *existing]


def naming_form(root: str, run: DictionaryRun) -> None:
    """Choose a list and a rule, and submit; says so where names cannot be encoded."""
    if run.backbone is None:
        st.caption("The images of this dictionary are no longer here, so the backbone for its names is unknown.")
        return
    choices = [*word_choices(run.backbone, resources.artifacts(root, VocabularyArtifact)), _UPLOAD]
    missing = run.backbone.is_foreign and run.backbone.architecture != DEMO
    if missing:
        choices.sort(key=lambda choice: not choice.encoded)
    left, right = st.columns(2, gap="medium")
    with left:
        chosen = st.selectbox("Candidate names", choices, format_func=lambda choice: choice.label, key=f"name_words-{run.id}")
        st.caption(chosen.help)
        file = None
        if chosen.value == _UPLOAD.value:
            file = st.file_uploader("List of names", type=["txt", "npz"], key=f"name_file-{run.id}")
    with right:
        asked = settings_form(VERBS["name"].settings, prefix="name", scope=run.id, only=("rule", "unique"), looks=_LOOKS)
    tag = _weights(run.backbone, chosen, f"name_weights-{run.id}") if missing else None
    blocked = (missing and not chosen.encoded and tag is None) or (chosen.value == _UPLOAD.value and file is None)
    if st.button("Name the concepts", key=f"name_start-{run.id}", type="primary", icon=":material/label:", disabled=blocked):
        modes.require_write()
        vocabulary, label = chosen.value, chosen.label
        if file is not None:
            try:
                vocabulary = str(keep_words(root, file))
            except CbmError as error:
                messages.error(str(error))
                return
            label = Path(vocabulary).name
        request = {"dictionary": run.id, "vocabulary": vocabulary, **asked}
        if tag is not None:
            request["pretrained"] = tag
        job_panel.ask("name", request, title=f"Name {counted(run.width, 'concept')} from {label}")
        st.rerun()


def _weights(backbone: BackboneReference, chosen: WordChoice, key: str) -> str | None:
    """Says that plain words cannot be encoded without weights; returns the tag to load them by where the visitor asks for that."""
    name = f"{backbone.architecture}/{backbone.pretrained}"
    st.info(
        f"The images were imported as vectors from {plain(name)}; its weights were not imported, but encoding words needs them. "
        "Give a list whose text embeddings exist: an .npz with `names` and `embeddings`"
        + (", or choose a list of words and let the weights be loaded by their name." if modes.may_use_paths() else "."),
        icon=":material/key_off:",
    )
    if chosen.encoded or not modes.may_use_paths():
        return None
    load = st.checkbox(
        f"Load the weights of {plain(name)}",
        key=key,
        help="They are taken from this machine's cache, or downloaded if they are not in it. "
        "Without a network, the job explains what to do.",
    )
    return backbone.pretrained if load else None


def keep_words(root: str, file: Upload) -> Path:
    """Keep an uploaded list of names: .txt, one per line, or .npz with `embeddings` and `names`.

    Raises:
        NotAllowedError: nothing may be written here, or not so much.
        InvalidInputError: it is no such list; the message says why.
    """
    suffix = Path(file.name).suffix.lower()
    if suffix == ".npz":
        return uploads.keep(root, [file])
    if suffix != ".txt":
        raise InvalidInputError(
            f"{file.name} is not a list of names; upload a .txt with one name per line, or an .npz (embeddings, names)."
        )
    data = file.getvalue()
    name = Path(uploads.clean_name(file.name)).name
    quotas.check_uploads({name: len(data)})
    final = Workspace(root).uploads / hashlib.sha256(f"words\0{name}\0".encode() + data).hexdigest()[:16] / name
    if not final.exists():
        with whole_file(final) as draft:
            draft.write_bytes(data)
            try:
                read_names(draft)  # refuses what is no list of names before it is kept
            except CbmError as error:
                raise type(error)(str(error).replace(str(draft), name)) from error
    return final
