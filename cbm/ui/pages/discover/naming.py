"""The form that gives concepts their names."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from cbm.core.errors import CbmError
from cbm.study.dictionary_runs import DictionaryRun
from cbm.ui.access import modes
from cbm.ui.frame import resources
from cbm.ui.frame.cards import show_error
from cbm.ui.frame.text import plain
from cbm.ui.pages.discover import words
from cbm.ui.pages.discover.vocabularies import WordChoice, keep_words, word_choices
from cbm.ui.widgets import job_panel

_UPLOAD = WordChoice("upload", "A list of my own …", "A .txt with one name a line, or an .npz with names and their text embeddings.", True)


def naming_form(root: str, run: DictionaryRun) -> None:
    """Choose a list and a rule, and submit; says so where names cannot be encoded."""
    if run.backbone is None:
        st.caption("The images of this dictionary are gone, so nothing tells which backbone its names must come from.")
        return
    choices = [*word_choices(run.backbone, resources.artifacts(root, "vocabulary")), _UPLOAD]
    missing = run.backbone.is_foreign and run.backbone.architecture != "demo"
    if missing:
        choices = [choice for choice in choices if choice.encoded] + [choice for choice in choices if not choice.encoded]
    left, right = st.columns(2, gap="medium")
    with left:
        chosen = st.selectbox("Candidate names", choices, format_func=lambda choice: choice.label, key=f"name_words-{run.id}")
        st.caption(chosen.help)
        file = None
        if chosen is _UPLOAD or chosen.value == _UPLOAD.value:
            file = st.file_uploader("List of names", type=["txt", "npz"], key=f"name_file-{run.id}")
    with right:
        rule = st.selectbox("Rule", list(words.RULES), format_func=lambda name: words.RULES[name].label, key=f"name_rule-{run.id}")
        st.caption(words.RULES[rule].help)
    unique = st.toggle(
        "Each name once",
        key=f"name_unique-{run.id}",
        help="Every name goes to the one concept that it fits best; the others take their next best, or none.",
    )
    tag = _weights(run, chosen) if missing else None
    blocked = (missing and not chosen.encoded and tag is None) or (chosen.value == _UPLOAD.value and file is None)
    if st.button("Name the concepts", key=f"name_start-{run.id}", type="primary", icon=":material/label:", disabled=blocked):
        modes.require_write()
        vocabulary = chosen.value
        try:
            if file is not None and chosen.value == _UPLOAD.value:
                vocabulary = str(keep_words(root, file))
        except CbmError as error:
            show_error(str(error))
            return
        request = {"dictionary": run.id, "vocabulary": vocabulary, "rule": rule, "unique": unique}
        if tag is not None:
            request["pretrained"] = tag
        label = Path(vocabulary).name if file is not None else chosen.label
        job_panel.ask("name", request, title=f"Name {run.width:,} concepts from {label}")
        st.rerun()


def _weights(run: DictionaryRun, chosen: WordChoice) -> str | None:
    """Says that plain words cannot be encoded without weights; returns the tag to load them by where the visitor asks for that."""
    assert run.backbone is not None
    name = f"{run.backbone.architecture}/{run.backbone.pretrained}"
    st.info(
        f"The images came as finished vectors of {plain(name)}; its weights did not come along, and plain words are encoded with them. "
        "Give a list whose text embeddings exist: an .npz with `names` and `embeddings`"
        + (", or choose a list of words and let the weights be loaded by their name." if modes.may_use_paths() else "."),
        icon=":material/key_off:",
    )
    if chosen.encoded or not modes.may_use_paths():
        return None
    load = st.checkbox(
        f"Load the weights of {plain(name)}",
        key=f"name_weights-{run.id}",
        help="They are taken from this machine's cache, or downloaded where they are not in it. Without a network the job says what to do.",
    )
    return run.backbone.pretrained if load else None
