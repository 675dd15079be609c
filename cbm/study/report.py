"""A study as one HTML file: figures beside baselines, concepts with pictures, classes, confusions, edits. It needs no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from cbm.core.errors import CbmError
from cbm.core.run import Run
from cbm.core.wording import percent
from cbm.editing.recipe import NameEdit, Recipe, describe
from cbm.embeddings.sets import set_title
from cbm.study.class_view import ClassConcept, class_view
from cbm.study.concept_view import ConceptSummary
from cbm.study.confusions import Confusions, similar_beside
from cbm.study.evaluation import concept_figures
from cbm.study.nec_paths import NecSeries, levels_of, path_of
from cbm.study.report_charts import confusion_chart, nec_chart
from cbm.study.study import Study

_STYLE = Path(__file__).with_name("report.css")
_PICTURE_SIDE = 96
_PICTURES = 6
_PICTURED = 60
"""Concepts with pictures, those that decide most; all others are named in a table."""
_CLASSES = 100
"""Classes with their concepts, those with most mistakes; all others are named in a table."""
_CLASS_CONCEPTS = 6
_CONFUSED_CLASSES = 16
_CONFUSED_PAIRS = 12


@dataclass(frozen=True)
class _Page:
    """What every section needs."""

    study: Study
    recipe: Recipe
    concepts: Sequence[ConceptSummary]
    """Shown ones, those that decide most first."""
    confusions: Confusions


def report_html(study: Study, title: str, run: Run | None = None, recipe: Recipe | None = None) -> str:
    """The whole file.

    Args:
        title: heading of the page, such as the model's id.
        recipe: the edits in force; those that the model was saved with when absent.
    """
    run = run or Run()
    recipe = study.model.recipe if recipe is None else recipe
    concepts = sorted((entry for entry in study.concepts(recipe) if not entry.hidden), key=lambda entry: -entry.predictiveness)
    page = _Page(study, recipe, concepts, study.confusions(recipe))
    sections: tuple[tuple[str, str, Callable[[_Page], str]], ...] = (
        ("figures", "Figures", _figures),
        ("classes", "Classes", _classes),
        ("concepts", "Concepts", _concepts),
        ("measures", "Measures of the concepts", _measures),
        ("confusions", "Confusions", _confusions),
        ("edits", "Edits", _edits),
    )
    parts = []
    for place, (name, heading, make) in enumerate(sections):
        run.check()
        run.report(place, len(sections), f"Writing: {heading}")
        parts.append(f'<section id="{name}"><h2>{heading}</h2>{make(page)}</section>')
    links = "".join(f'<a href="#{name}">{heading}</a>' for name, heading, _ in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{_introduction(study)}<nav>{links}</nav></header>{''.join(parts)}</body></html>\n"
    )


def _introduction(study: Study) -> str:
    backbone = study.model.backbone
    seen = f" on embeddings of {escape(backbone.architecture)}" if backbone else ""
    trained = f", trained on {study.training_images:,} images" if study.training_images else ""
    return (
        f"<p>A concept bottleneck model{seen}{trained}: every prediction is the sum of its concepts' contributions and a bias. "
        f"Everything here was measured on {study.image_count:,} held-out images of {escape(set_title(study.held_out.name))}.</p>"
    )


# Figures


def _figures(page: _Page) -> str:
    study, metrics = page.study, page.study.metrics
    cards = []
    if page.confusions.accuracy is not None:
        cards.append(("Accuracy", percent(page.confusions.accuracy), f"{page.confusions.images:,} labelled images"))
    groups = study.groups(page.recipe)
    if groups is not None:
        cards.append(("Worst group", percent(groups.worst.accuracy), groups.worst.name))
    cards += [
        ("Concepts per class", f"{study.nec:.1f}", "non-zero weights per class (NEC)"),
        ("Concepts in use", f"{study.concepts_used:,}", f"of {study.concept_count:,} discovered"),
    ]
    figures = "".join(
        f'<div class="card figure"><span class="soft">{escape(label)}</span><b>{escape(value)}</b>'
        f'<span class="soft">{escape(note)}</span></div>'
        for label, value, note in cards
    )
    path, random = path_of(metrics.get("nec_path")), path_of(metrics.get("random_concepts"))
    series = [entry for entry in (NecSeries("named concepts", path), NecSeries("random directions", random, "random")) if entry.points]
    chart = nec_chart(series, levels_of(metrics))
    figure = f'<figure class="card" style="margin:1rem 0">{chart}<figcaption>Accuracy against concepts per class.</figcaption></figure>'
    return f'<div class="grid">{figures}</div>{figure if chart else ""}{_beside_baselines(page, series)}'


def _beside_baselines(page: _Page, series: Sequence[NecSeries]) -> str:
    """Accuracy of everything that was measured: a column for each number of concepts per class, and one for what has no such limit."""
    necs = sorted({round(nec) for entry in series for nec, _ in entry.points})
    rows = []
    for entry in series:
        at = {round(nec): percent(accuracy) for nec, accuracy in entry.points}
        rows.append((entry.name, [*(at.get(nec, "–") for nec in necs), ""]))
    single = [(level.name, level.accuracy) for level in levels_of(page.study.metrics)]
    if page.confusions.accuracy is not None:
        single = [("this model, edits in force", page.confusions.accuracy), *single]
    rows += [(name, [*[""] * len(necs), percent(accuracy)]) for name, accuracy in single]
    if not rows:
        return ""
    head = "".join(f'<th class="number">{heading}</th>' for heading in [*necs, "as it is"])
    body = "".join(
        f"<tr><td>{escape(name[:1].upper() + name[1:])}</td>{''.join(f'<td class=number>{cell}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    caption = "Accuracy, for heads limited to so many concepts per class and for classifiers as they are" if necs else "Accuracy"
    return (
        f'<figure class="card" style="margin:0"><table><caption>{caption}</caption><thead><tr><th>Classifier</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></figure>"
    )


# Classes


def _classes(page: _Page) -> str:
    rows = sorted(page.confusions.rows, key=lambda row: (row.right - row.images, row.index))
    cards = []
    for row in rows[:_CLASSES]:
        view = class_view(page.study, row.index, page.recipe, pictures=1)
        accuracy = "no labelled image" if row.accuracy is None else f"{percent(row.accuracy)} of {row.images:,} images right"
        rival = "" if row.confused_with is None else f", most often predicted as {page.confusions.classes[row.confused_with]}"
        bars = _bars(view.concepts[:_CLASS_CONCEPTS])
        cards.append(f'<div class="card"><h3>{escape(row.name)}</h3><p class="soft">{escape(accuracy + rival)}</p>{bars}</div>')
    others = ", ".join(escape(row.name) for row in rows[_CLASSES:])
    return (
        "<p>What each concept adds to the class's score on its own images, on average, in logits. Those with most mistakes come first.</p>"
        f'<div class="grid" style="--least:300px">{"".join(cards)}</div>'
        + (f"<details><summary>{len(rows) - _CLASSES:,} more classes</summary><p>{others}</p></details>" if others else "")
    )


def _bars(concepts: Sequence[ClassConcept]) -> str:
    if not concepts:
        return '<p class="soft">No concept has a weight for it: its score is the bias alone.</p>'
    extent = max(abs(entry.contribution) for entry in concepts) or 1.0
    return "".join(
        f'<div class="bar"><span title="{escape(entry.name)}">{escape(entry.name)}</span>'
        f'<i class="{"for" if entry.contribution >= 0 else "against"}" style="width:{100 * abs(entry.contribution) / extent:.1f}%"></i>'
        f"<em>{entry.contribution:+.2f}</em></div>".replace(">-", ">−")
        for entry in concepts
    )


# Concepts


def _concepts(page: _Page) -> str:
    pictured = page.study.with_pictures([entry for entry in page.concepts if entry.frequency > 0][:_PICTURED], _PICTURES)
    with_pictures = {entry.index for entry in pictured}
    rest = [entry for entry in page.concepts if entry.index not in with_pictures]
    cards = "".join(
        f'<div class="card"><div class="strip">{"".join(_picture(uri, entry.name) for uri in entry.uris)}</div>'
        f'<h3>{escape(entry.name)}</h3><span class="soft">{_facts(entry)}</span></div>'
        for entry in pictured
    )
    rows = "".join(
        f'<tr><td class="number">{entry.index}</td><td>{escape(entry.name)}</td><td class="number">{percent(entry.frequency)}</td>'
        f"<td>{escape(entry.top_class or '–')}</td></tr>"
        for entry in rest
    )
    return (
        "<p>Each with the held-out images on which it is strongest, those that decide most first. "
        "A name says what a concept responds to, as far as text embeddings of the backbone can tell; the pictures are the evidence.</p>"
        f'<div class="grid" style="--least:200px">{cards}</div>'
        + (
            f'<details><summary>{len(rest):,} more concepts</summary><table><thead><tr><th class="number">Number</th><th>Name</th>'
            f'<th class="number">Active on</th><th>Raises most</th></tr></thead><tbody>{rows}</tbody></table></details>'
            if rest
            else ""
        )
    )


def _facts(entry: ConceptSummary) -> str:
    target = f", for {escape(entry.top_class)}" if entry.top_class else ""
    return f"concept {entry.index} · on {percent(entry.frequency)} of images{target}"


def _picture(uri: str, name: str) -> str:
    """An image as part of the file; a grey square where it cannot be read."""
    from cbm.images.pictures import read_picture

    alt = escape(f"An image on which “{name}” is strong")
    try:
        picture = read_picture(uri, size=_PICTURE_SIDE).convert("RGB")
    except (CbmError, OSError):
        return f'<img alt="{alt} (not readable)" src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==">'
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return f'<img loading="lazy" alt="{alt}" src="data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}">'


# Measures


def _measures(page: _Page) -> str:
    study = page.study
    edited = study if page.recipe == study.model.recipe else replace(study, model=study.model.with_recipe(page.recipe))
    figures = concept_figures(edited)
    rows = "".join(f'<tr><td>{escape(figure.words)}</td><td class="number">{_short(figure.value)}</td></tr>' for figure in figures)
    return (
        f'<div class="card"><table><thead><tr><th>Measure</th><th class="number">Value</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) > 1 else f"{value:.3f}".replace("-", "−")


# Confusions and edits


def _confusions(page: _Page) -> str:
    found = page.confusions
    if not found.images:
        return "<p>None of the held-out images has a label that the model knows.</p>"
    pairs = found.named_pairs(_CONFUSED_PAIRS)
    if not pairs:
        return "<p>Every labelled held-out image is right.</p>"
    everything = list(range(len(found.classes)))
    kept = everything if len(everything) <= _CONFUSED_CLASSES else found.most_confused(_CONFUSED_CLASSES)
    part = found.matrix[kept][:, kept]
    order = similar_beside(part)
    chart = confusion_chart(part[order][:, order], [found.classes[kept[place]] for place in order])
    rows = "".join(
        f'<tr><td>{escape(truth)}</td><td>{escape(said)}</td><td class="number">{count:,}</td></tr>' for truth, said, count in pairs
    )
    figure = f'<figure class="card" style="margin:0">{chart}<figcaption>True class down, predicted class across.</figcaption></figure>'
    table = (
        '<div class="card"><table><caption>Most frequent confusions</caption><thead><tr><th>Truth</th><th>Predicted as</th>'
        f'<th class="number">Images</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return f'<div class="grid" style="--least:320px">{figure}{table}</div>'


def _edits(page: _Page) -> str:
    study, recipe = page.study, page.recipe
    if not recipe.active:
        return "<p>None: the model is as it was trained.</p>"
    lines = "".join(f"<li>{line}</li>" for line in _edit_lines(study, recipe))
    effect = study.effect(recipe)
    summary = ""
    if effect is not None:
        worst = ""
        if effect.worst_group_before is not None and effect.worst_group_after is not None:
            worst = f" The worst group goes from {percent(effect.worst_group_before)} to {percent(effect.worst_group_after)}."
        summary = (
            f"<p>Together they take accuracy from {percent(effect.accuracy_before)} to <b>{percent(effect.accuracy_after)}</b>: "
            f'<span class="good">{len(effect.corrected):,} corrected</span>, '
            f'<span class="bad">{len(effect.newly_wrong):,} newly wrong</span>.{worst}</p>'
        )
    return f"{summary}<ol>{lines}</ol>"


def _edit_lines(study: Study, recipe: Recipe) -> Iterator[str]:
    for step, marginal in zip(recipe.steps[: recipe.position], study.marginal_effects(recipe), strict=True):
        if not step.enabled:
            continue
        what = escape(describe(step.edit))
        if isinstance(step.edit, NameEdit) or marginal is None:
            yield f'{what} <span class="soft">changes names only</span>'
        else:
            yield (
                f'{what} <span class="soft">{marginal.corrected:,} corrected, {marginal.newly_wrong:,} newly wrong, '
                f"{marginal.changed:,} predictions changed</span>"
            )
