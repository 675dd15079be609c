"""Two models on the same images: which is right where, and which concepts they share."""

from __future__ import annotations

import streamlit as st

from cbm.core.errors import MismatchError, NotFoundError
from cbm.embeddings.sets import set_title
from cbm.study import nec_paths
from cbm.study.comparison import Alignment, Comparison, Outcome, align, compare
from cbm.study.concept_pairs import LEAST_COSINE, ConceptPair, LoneConcept, Matches, PairList, match_concepts, pair_list
from cbm.ui.access import modes
from cbm.ui.frame import cache, layout, messages, resources
from cbm.ui.frame.chosen import Chosen, open_chosen
from cbm.ui.frame.formats import counted, percent, plain, points
from cbm.ui.frame.layout import Headline, empty_card, page_title, pager
from cbm.ui.frame.slots import Slot
from cbm.ui.frame.state import ClassifyPage, ComparePage, ConceptPage, ImagePage, IntervenePage
from cbm.ui.pages.compare import sides
from cbm.ui.pages.compare.sides import Choice, Side
from cbm.ui.widgets import figures, thumbnails
from cbm.ui.widgets.figures.models import class_dumbbells, nec_chart
from cbm.ui.widgets.galleries import concept_picture, selection_button

_PICTURES = 12
_CLASSES = 12
_CERTAIN = 0.05


def show() -> None:
    page_title("Compare", "Two concept models on the same images: where they agree, where they differ, and which concepts they share.")
    chosen = open_chosen("models to compare")
    models = chosen.catalogue.models
    choice = _choice(chosen)
    if choice is None:
        _nothing_to_compare()
        return
    if choice.instead:
        messages.note(f"“{chosen.title}” has no edits and shares no test images with another model; these two do.")
    sides.selectors(models, choice, sides.offered(chosen.root, list(models), choice))
    try:
        left, right = sides.open_sides(chosen.root, models, choice)
        aligned = _aligned(chosen.root, left.model, right.model)
    except MismatchError as error:
        messages.error(str(error))
        return
    recipes = left.recipe, right.recipe
    comparison = compare(left.study, right.study, recipes, aligned)
    _headline_panel(left, right, aligned, comparison)
    first, second = st.columns(2, gap="large")
    with first:
        _nec_panel(left, right, comparison)
    with second:
        _class_panel(comparison)
    st.fragment(_images_panel)(left, right, aligned, comparison)

    @st.fragment
    def concepts() -> None:
        matches = _matches(chosen.root, left.model, right.model, least_cosine())
        concepts_panel(left, right, matches, pair_list(left.study, right.study, recipes, matches))

    concepts()


def _choice(chosen: Chosen) -> Choice | None:
    """The pair that the link asks for; the default one, with a word on it, where the link asks for a model that is not here."""
    models, model = chosen.catalogue.models, chosen.model
    edited, stored_edits = sides.is_edited(model, chosen.study), chosen.study.model.recipe.changes_predictions
    try:
        return sides.choose(chosen.root, models, model, ComparePage.read().other, edited=edited, stored_edits=stored_edits)
    except NotFoundError as error:
        messages.error(str(error))
        return sides.choose(chosen.root, models, model, None, edited=edited, stored_edits=stored_edits)


@cache.remember("Matching concepts …")
def _matches(root: str, first: str, second: str, least: float) -> Matches:
    """Kept by ids: the matches of two large dictionaries take a second or two."""
    return match_concepts(resources.study(root, first).model, resources.study(root, second).model, least)


@cache.remember()
def _aligned(root: str, first: str, second: str) -> Alignment:
    """Kept by ids, as above."""
    return align(resources.study(root, first), resources.study(root, second))


def _headline_panel(left: Side, right: Side, aligned: Alignment, comparison: Comparison) -> None:
    """Accuracies, their difference and how sure it is."""
    first, second = comparison.left_accuracy, comparison.right_accuracy
    found = []
    if first is not None and second is not None:
        found += [
            Headline("A", percent(first), f"Accuracy of {left.title} on the images in common."),
            Headline("B", percent(second), f"Accuracy of {right.title} on the images in common.", points(first, second)),
        ]
    found.append(
        Headline("Say the same", percent(comparison.agreement), "Share of the images in common on which A and B predict the same class.")
    )
    alone: tuple[tuple[Outcome, str, str], ...] = (
        ("left", "Only A right", "Images that A gets right and B gets wrong."),
        ("right", "Only B right", "Images that B gets right and A gets wrong."),
    )
    for outcome, label, text in alone:
        found.append(Headline(label, f"{comparison.count(outcome):,}", text))
    layout.headline_row(found, key=ComparePage.key("headlines"))
    st.caption(" ".join([_compared(aligned, comparison), _certainty(comparison)]).strip())


def _compared(aligned: Alignment, comparison: Comparison) -> str:
    names = [f"“{plain(set_title(name))}”" for name in aligned.sets]
    where = f"of {names[0]}" if aligned.same_set else f"that are both in {names[0]} and in {names[1]}"
    text = f"Compared on the {counted(comparison.images, 'held-out image')} {where}."
    if comparison.labelled < comparison.images:
        text += f" {comparison.images - comparison.labelled:,} of them have no class that both models know, and count for agreement only."
    return text


def _certainty(comparison: Comparison) -> str:
    if comparison.p_value is None:
        return "Both are right on exactly the same images." if comparison.labelled else ""
    value = "below 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.2g}"
    verdict = "The difference is larger than chance" if comparison.p_value < _CERTAIN else "A difference this small may be chance"
    return f"{verdict} (McNemar test, p {value})."


def _nec_panel(left: Side, right: Side, comparison: Comparison) -> None:
    accuracies = comparison.left_accuracy, comparison.right_accuracy
    view = nec_paths.compared_nec_view((left.study.metrics, right.study.metrics), (left.study.nec, right.study.nec), accuracies)
    st.subheader("Accuracy against readability", anchor=False)
    if view.empty:
        st.caption("Neither model recorded its accuracy at other numbers of concepts.")
        return
    st.caption("Each head as trained, before any edit. The rings are A (blue) and B (orange) as compared here.")
    st.plotly_chart(nec_chart(view), key=ComparePage.key("nec"), config=figures.CHART_OPTIONS, alt=view.sentence)


def _class_panel(comparison: Comparison) -> None:
    st.subheader("Class by class", anchor=False)
    moved = [entry for entry in comparison.classes if entry.change]
    if not moved:
        st.caption("Every class has the same accuracy in both." if comparison.classes else "The models have no class in common.")
        return
    shown = comparison.classes[: max(2, min(_CLASSES, len(moved)))]
    more = f"; {len(moved) - len(shown)} more differ less" if len(moved) > len(shown) else ""
    better = sum(entry.change > 0 for entry in moved)
    st.caption(f"B is better on {better} of {len(comparison.classes)} classes, worse on {len(moved) - better}{more}. In percentage points.")
    st.plotly_chart(
        class_dumbbells(shown),
        key=ComparePage.key("classes"),
        config=figures.CHART_OPTIONS,
        alt="Accuracy by class: " + ", ".join(f"{entry.name} A {entry.left:.0%} B {entry.right:.0%}" for entry in shown),
    )


def _images_panel(left: Side, right: Side, aligned: Alignment, comparison: Comparison) -> None:
    """The images on which they differ."""
    st.subheader("Which images differ", anchor=False)
    kinds: dict[Outcome, str] = {
        "left": "Only A right",
        "right": "Only B right",
        "differently": "Both wrong, differently",
        "alike": "Both wrong, alike",
    }
    offered = [kind for kind in kinds if comparison.count(kind)]
    if not offered:
        st.caption("No labelled image is wrong for either of them." if comparison.labelled else "The images in common have no labels.")
        return
    most = max(offered, key=lambda kind: (kind in ("left", "right"), comparison.count(kind)))
    kind = st.segmented_control(
        "Images",
        offered,
        default=most,
        required=True,
        key=ComparePage.key("images"),
        format_func=lambda kind: f"{kinds[kind]} · {comparison.count(kind):,}",
        label_visibility="collapsed",
    )
    rows = comparison.rows[kind]
    with st.container(horizontal=True, vertical_alignment="center"):
        shown = rows[pager(len(rows), _PICTURES, key=ComparePage.key("image_page", kind))].tolist()
        selection_button(left.model, aligned.left[rows].tolist(), kinds[kind], key=ComparePage.key("select"))
    with st.grid("auto", min_column_width=128, gap="small", key=ComparePage.key("pictures")) as grid:
        for position in shown:
            with grid.cell():
                _picture(left, right, aligned, comparison, position)
    st.caption("Each link is the image's true class and opens the image in model A. Below it: what each model predicts.")


def _picture(left: Side, right: Side, aligned: Alignment, comparison: Comparison, position: int) -> None:
    row = int(aligned.left[position])
    truth = left.study.class_names[left.study.labels[row]]
    says = [side.study.class_names[int(part[position])] for side, part in zip((left, right), comparison.predicted, strict=True)]
    marks = ["✓" if name == truth else "✗" for name in says]
    item = left.study.item(row)
    st.image(
        thumbnails.thumbnail(left.study.uris[row]),
        width="stretch",
        alt=f"Image {item}: {truth}; A says {says[0]}, B says {says[1]}",
    )
    ImagePage(item).link(left.model).draw(plain(truth), help=f"Open image {item}")
    st.caption("  \n".join(f"{letter} {mark} {plain(name)}" for letter, mark, name in zip("AB", marks, says, strict=True)))


def _nothing_to_compare() -> None:
    """One model, without edits: what this page would show, and how to get there."""
    why = (
        "This page compares two models on the same images: which is right where, and which concepts they share. "
        "This model has no edits, and no other one was tested on the same images."
    )
    with empty_card("Nothing to compare yet", why, icon=":material/compare_arrows:"):
        IntervenePage().link().draw("Edit the model", icon=":material/tune:")
        if modes.may_write():
            ClassifyPage().link().draw("Train another head", icon=":material/category:")


# Which concepts they share

_LEAST_COSINES = (0.9, 0.8, 0.7, 0.6, 0.5)
_THRESHOLD = Slot(ComparePage.key("cosine"), LEAST_COSINE)
_PAIRS = 8


def concepts_panel(left: Side, right: Side, matches: Matches, pairs: PairList) -> None:
    """Shared concepts with their pictures, those that count most differently first; then those that only one model has."""
    st.subheader("Which concepts they share", anchor=False)
    st.caption(_how(matches, pairs))
    _threshold(matches)
    kinds = {
        "pairs": f"Shared · {len(pairs.pairs):,}",
        "A": f"Only in A · {len(pairs.only_left):,}",
        "B": f"Only in B · {len(pairs.only_right):,}",
    }
    offered = [kind for kind, entries in (("pairs", pairs.pairs), ("A", pairs.only_left), ("B", pairs.only_right)) if entries]
    if not offered:
        return
    kind = offered[0]
    if len(offered) > 1:
        kind = st.segmented_control(
            "Concepts",
            offered,
            default=kind,
            required=True,
            key=ComparePage.key("concepts"),
            format_func=lambda key: kinds[key],
            label_visibility="collapsed",
        )
    entries = {"pairs": pairs.pairs, "A": pairs.only_left, "B": pairs.only_right}[kind]
    shown = entries[pager(len(entries), _PAIRS, key=ComparePage.key("concept_page", kind))]
    if kind == "pairs":
        _pair_cards([entry for entry in shown if isinstance(entry, ConceptPair)], left, right, matches)
    else:
        _lone_cards([entry for entry in shown if isinstance(entry, LoneConcept)], left if kind == "A" else right)


def _threshold(matches: Matches) -> None:
    if matches.by != "direction":
        return
    st.segmented_control(
        "Same direction from cosine",
        _LEAST_COSINES,
        default=LEAST_COSINE,
        required=True,
        key=_THRESHOLD.key,
        help="Independent dictionaries seldom agree perfectly; lower values pair more concepts, less surely.",
    )


def least_cosine() -> float:
    """What the visitor chose, from which two directions count as one."""
    return _THRESHOLD.get()


def _how(matches: Matches, pairs: PairList) -> str:
    used = f"A uses {counted(pairs.used[0], 'concept')}, B {pairs.used[1]:,}."
    if matches.by == "dictionary":
        return f"Both use the same dictionary, so every concept is shared. {used} Concepts with the largest difference in use come first."
    if matches.by == "name":
        return f"Their embeddings are not the same, so concepts are matched by name alone. {used}"
    near = ~matches.by_name
    return (
        f"First by direction: {int(near.sum()):,} are each other's nearest, {int((matches.same_name & near).sum()):,} with one name. "
        f"Then by name: {int(matches.by_name.sum()):,} more. {used} Concepts with the largest difference in use come first."
    )


def _pair_cards(shown: list[ConceptPair], left: Side, right: Side, matches: Matches) -> None:
    one = matches.by == "dictionary" and left.study.held_out.id == right.study.held_out.id
    with st.grid(4 if one else 2, min_column_width=180 if one else 290, gap="small", border=True, key=ComparePage.key("pairs")) as grid:
        for pair in shown:
            with grid.cell():
                sides = ((pair.left, pair.left_name, left), (pair.right, pair.right_name, right))
                if one:
                    _side(*sides[0])
                else:
                    for place, side in zip(st.columns(2, gap="small"), sides, strict=True):
                        with place:
                            _side(*side)
                cosine = "" if pair.cosine is None or one else f"cosine {pair.cosine:.2f}{', by name' if pair.by_name else ''} · "
                st.caption(f"{cosine}carries {percent(pair.left_share)} of all scores in A, {percent(pair.right_share)} in B")


def _side(concept: int, name: str, side: Side) -> None:
    uris = [side.study.uris[row] for row in side.study.strongest_rows(concept, 3)]
    concept_picture(uris, name, ConceptPage(concept), rows=1, model=side.model)


def _lone_cards(shown: list[LoneConcept], side: Side) -> None:
    with st.grid(4, min_column_width=145, gap="small", border=True, key=ComparePage.key("lone")) as grid:
        for entry in shown:
            with grid.cell():
                _side(entry.index, entry.name, side)
                st.caption(f"carries {percent(entry.share)} of all scores")
