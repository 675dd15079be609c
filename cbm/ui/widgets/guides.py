"""The guided scenarios as cards: a hypothesis, what to do, what should change, and what it means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import streamlit as st

from cbm.study.scenarios import Carrier, ConfusedClasses, Doubt, Example, Mistake, Shortcut
from cbm.ui.frame.formats import counted, percent, plain
from cbm.ui.frame.state import ConceptPage, IntervenePage, PageState
from cbm.ui.widgets.thumbnails import strip, theme, thumbnail


@dataclass(frozen=True)
class Guide:
    """One scenario; its texts are Markdown, with the model's own words escaped."""

    key: str
    title: str
    icon: str
    uris: tuple[str, ...]
    alt: str
    hypothesis: str
    action: str
    change: str
    meaning: str
    button: str
    target: PageState
    """The page where it is done, with everything preset."""
    model: str | None = None
    """The model that it is about, where that is not the one shown."""


@contextlib.contextmanager
def card(guide: Guide) -> Iterator[None]:
    """Draw a guide as a card; the button, which is drawn inside the `with` block, is at its foot, so that cards side by side line up."""
    with st.container(height="stretch", vertical_alignment="distribute", gap="small"):
        with st.container(gap="small"):
            st.markdown(f"##### {guide.icon} {guide.title}", anchors=False)
            if len(guide.uris) > 1:
                st.image(strip(guide.uris, theme(), rows=1), width=84 * min(3, len(guide.uris)), alt=guide.alt)
            else:
                st.image(thumbnail(guide.uris[0]), width=84, alt=guide.alt)
            st.markdown(guide.hypothesis)
            st.markdown(f":primary[**Do**] {guide.action}")
            st.markdown(f":primary[**Expect**] {guide.change}")
            st.caption(guide.meaning)
        yield


def correct_a_mistake(mistake: Mistake, images: int) -> Guide:
    pays = mistake.corrected > mistake.newly_wrong
    return Guide(
        key="mistake",
        title="Correct a wrong prediction",
        icon=":material/tune:",
        uris=(mistake.uri,),
        alt=f"Image {mistake.item}: {mistake.truth}, predicted as {mistake.said}",
        hypothesis=f"The model predicts this {_quoted(mistake.truth)} for {_quoted(mistake.said)}. "
        f"One concept, {_concept(mistake.name)}, makes {mistake.share:.0%} of that score.",
        action=f"Ablate {_concept(mistake.name)} {'everywhere' if pays else 'for this image only'}.",
        change=f"The image becomes {_quoted(mistake.truth)}. {_effect(mistake, images, '' if pays else 'Everywhere, of ')}",
        meaning=_balance(mistake.corrected, mistake.newly_wrong),
        button="Correct it",
        target=IntervenePage(image=mistake.item, concept=mistake.concept),
    )


def remove_a_shortcut(shortcut: Shortcut, planted: bool) -> Guide:
    names = [_concept(name) for _, name in shortcut.concepts]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    why = (
        "In training, each class nearly always had its own background"
        if planted
        else "The model may lean on what merely co-occurs with a class"
    )
    return Guide(
        key="shortcut",
        title="Remove a planted shortcut" if planted else "Improve the worst group",
        icon=":material/route:",
        uris=(shortcut.uri,),
        alt=f"Image {shortcut.item} of the group {shortcut.group}, wrongly predicted",
        hypothesis=f"{why}: in the group {_quoted(shortcut.group)}, only {percent(shortcut.worst_before)} are right.",
        action=f"Ablate {listed} everywhere{', one after the other' if len(names) > 1 else ''}.",
        change=f"The worst group goes from {percent(shortcut.worst_before)} to **{percent(shortcut.worst_after)}**, "
        f"all images together from {percent(shortcut.accuracy_before)} to {percent(shortcut.accuracy_after)}.",
        meaning="The model knew the classes but took a shortcut. You removed it without retraining.",
        button="Remove it",
        target=IntervenePage(image=shortcut.item, concept=shortcut.concepts[0][0]),
        model=shortcut.model,
    )


def untangle_two_classes(confusion: ConfusedClasses, images: int) -> Guide:
    return Guide(
        key="confusion",
        title="Separate two classes",
        icon=":material/call_split:",
        uris=(confusion.uri,),
        alt=f"Image {confusion.item}: {confusion.truth}, predicted as {confusion.said}",
        hypothesis=f"{_quoted(confusion.truth)} is predicted as {_quoted(confusion.said)} {counted(confusion.count, 'time')}, "
        f"more often than any other pair. {_concept(confusion.name)} supports the wrong one.",
        action=f"Ablate {_concept(confusion.name)} for the class {_quoted(confusion.said)} only.",
        change=_effect(confusion, images),
        meaning=_balance(confusion.corrected, confusion.newly_wrong),
        button="Untangle them",
        target=IntervenePage(image=confusion.item, concept=confusion.concept),
    )


def question_a_name(doubt: Doubt) -> Guide:
    truth = f" Measured against the truth, it tells {_quoted(doubt.known[0])} apart (AUC {doubt.known[1]:.2f})." if doubt.known else ""
    other = f" {_concept(doubt.runner_up)} fits nearly as well." if doubt.runner_up and not truth else ""
    return Guide(
        key="doubt",
        title="Question a concept's name",
        icon=":material/quiz:",
        uris=doubt.uris[:3],
        alt=f"Images on which the concept called {doubt.name} is strongest",
        hypothesis=f"This concept is called {_concept(doubt.name)}. Is that what these images have in common?{truth}{other}",
        action="Look at its images and at where it responds in them. Rename it if you know better.",
        change="The new name appears on every page. No prediction changes.",
        meaning="A name is a guess based on comparing vectors. The images are the evidence.",
        button="Look at it",
        target=ConceptPage(doubt.concept),
    )


def change_its_mind(example: Example) -> Guide:
    """Where there is no mistake to correct."""
    changes = example.said_without != example.said
    return Guide(
        key="example",
        title="Find what would change the prediction",
        icon=":material/psychology_alt:",
        uris=(example.uri,),
        alt=f"Image {example.item}, predicted as {example.said}",
        hypothesis=f"The model says {_quoted(example.said)}, and {_concept(example.name)} makes {example.share:.0%} of that score.",
        action=f"Ablate {_concept(example.name)} for this image only.",
        change=f"The prediction becomes {_quoted(example.said_without)}." if changes else "The prediction stays: other concepts carry it.",
        meaning="The explanation shows exactly what the model used."
        if changes
        else "The prediction has other support and does not need this concept.",
        button="Try it",
        target=IntervenePage(image=example.item, concept=example.concept),
    )


def find_out_what_it_carries(carrier: Carrier, images: int) -> Guide:
    return Guide(
        key="carrier",
        title="Find out what depends on a concept",
        icon=":material/foundation:",
        uris=(carrier.uri,),
        alt=f"Image {carrier.item}: {carrier.truth}",
        hypothesis=f"The model is right about this {_quoted(carrier.truth)}. "
        f"It relies on {_concept(carrier.name)} more than on any other concept.",
        action=f"Ablate {_concept(carrier.name)} everywhere.",
        change=f"{carrier.newly_wrong:,} of {counted(images, 'held-out image')} become wrong, {carrier.corrected:,} right; "
        f"{_quoted(carrier.fallen)} falls from {percent(carrier.accuracy_before)} to **{percent(carrier.accuracy_after)}**.",
        meaning="What breaks shows what the concept is used for. One click undoes it.",
        button="Do it and look",
        target=IntervenePage(image=carrier.item, concept=carrier.concept),
    )


def _quoted(text: str) -> str:
    return f"“{plain(text)}”"


def _concept(text: str) -> str:
    return f"*{plain(text)}*"


def _effect(found: Mistake | ConfusedClasses, images: int, lead: str = "") -> str:
    verb = "would be" if lead else "is" if found.corrected == 1 else "are"
    return (
        f"{lead or 'Of '}{counted(images, 'held-out image')}, {found.corrected:,} {verb} corrected and "
        f"{found.newly_wrong:,} newly wrong: {percent(found.accuracy_before)} → **{percent(found.accuracy_after)}** right."
    )


def _balance(corrected: int, newly_wrong: int) -> str:
    if newly_wrong == 0:
        return "The concept supported the wrong class, and nothing was lost by silencing it."
    if corrected > newly_wrong:
        return "It helps more than it harms. Check what it breaks before you keep it."
    return "The concept misleads here and helps elsewhere, so the scope of an edit matters."
