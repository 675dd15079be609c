"""What the start page says about a model: its headline figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbm.study.study import Study
from cbm.study.views import Headline
from cbm.ui.frame.text import percent, points


def _share(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def headlines(study: Study, metrics: Mapping[str, Any]) -> list[Headline]:
    """The figures worth a first look, from what was recorded; what was not measured is left out, never made up."""
    probe = _share(metrics, "linear_probe")
    found = []
    # Measured on the model as it is stored: what was recorded may be of the model before its edits, or of other images.
    accuracy = study.accuracy
    if accuracy is not None:
        found.append(
            Headline(
                "Accuracy",
                percent(accuracy),
                f"On {study.labelled_images:,} held-out images, with {study.nec:.1f} concepts per class on average."
                + ("" if probe is None else f" A linear probe on the whole embedding, which nobody can read, reaches {percent(probe)}."),
                None if probe is None else f"linear probe {percent(probe)}",
            )
        )
    for key, label, text in (
        (
            "concepts_discovered",
            "Concepts found",
            "Known concepts of the world that some discovered concept tells apart with an AUC above 0.9.",
        ),
        ("names_right", "Named right", "Of those found: how many bear a right name as their first candidate."),
        ("pointing_game", "Heat-map hits", "How often a concept's heat-map peaks inside the thing it is about."),
    ):
        value = _share(metrics, key)
        if value is not None:
            found.append(Headline(label, percent(value), text))
    before, after = _share(metrics, "worst_group_before"), _share(metrics, "worst_group_after")
    if before is not None and after is not None:
        found.append(
            Headline(
                "Worst group",
                percent(after),
                f"Accuracy of the group that fares worst once the planted shortcut's concepts are ablated; {percent(before)} before.",
                points(before, after),
            )
        )
    elif study.worst_group is not None:
        name, worst = study.worst_group
        found.append(Headline("Worst group", percent(worst), f"Accuracy of the group that fares worst: {name}."))
    if len(found) <= 2:
        found.append(
            Headline(
                "Concepts in use", f"{study.concepts_used:,}", f"Of {study.concepts:,} discovered, those with a weight for some class."
            )
        )
        found.append(
            Headline(
                "Concepts per class",
                f"{study.nec:.1f}",
                "Number of effective concepts: the mean count of weights per class that are not zero.",
            )
        )
    return found
