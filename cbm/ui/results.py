"""What the start page says about a model: its headline figures, and the stages that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbm.ui.study import Study
from cbm.ui.text import counted, percent, points
from cbm.ui.views import Headline, NecCurve, Stage


def _share(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def headlines(study: Study, metrics: Mapping[str, Any]) -> list[Headline]:
    """The figures worth a first look, from what was recorded; what was not measured is left out, never made up."""
    nec, probe = _share(metrics, "accuracy_nec5"), _share(metrics, "linear_probe")
    found = [
        Headline(
            "Accuracy",
            percent(study.accuracy if nec is None else nec),
            f"On {study.labelled_images:,} held-out images, with {study.nec:.1f} concepts per class on average."
            + ("" if probe is None else f" A linear probe on the whole embedding, which nobody can read, reaches {percent(probe)}."),
            None if probe is None else f"linear probe {percent(probe)}",
        )
    ]
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


def stages(study: Study, training_images: int | None) -> list[Stage]:
    """The line from images to a model."""
    backbone = study.held_out.backbone
    total = study.images + (training_images or 0)
    named = sum(tile.named for tile in study.concept_tiles(study.model.recipe))
    return [
        Stage(
            "Images",
            ":material/photo_library:",
            True,
            f"{total:,}",
            f"{study.images:,} of them held out" if training_images else "held out",
        ),
        Stage(
            "Embed",
            ":material/grain:",
            True,
            backbone.architecture,
            f"{study.held_out.embeddings.shape[1]} numbers per image; the model stays frozen",
        ),
        Stage("Discover", ":material/explore:", True, counted(study.concepts, "concept"), "found without labels"),
        Stage(
            "Name",
            ":material/label:",
            True,
            f"{named:,} named",
            f"{study.concepts - named:,} have no name that fits" if named < study.concepts else "each has a name that fits",
        ),
        Stage(
            "Classify",
            ":material/account_tree:",
            True,
            counted(len(study.classes), "class").replace("classs", "classes"),
            f"{study.nec:.1f} concepts each",
        ),
    ]


def nec_curve(metrics: Mapping[str, Any]) -> NecCurve | None:
    """The recorded path of accuracy over NEC, where there is one."""
    path = metrics.get("nec_path")
    if not isinstance(path, list):
        return None
    reached = [(float(point["nec"]), float(point["accuracy"])) for point in path if point.get("accuracy") is not None]
    if len(reached) < 2:
        return None
    series = {"discovered concepts": tuple(reached)}
    random = metrics.get("random_concepts")
    if isinstance(random, list):
        series["random directions"] = tuple(
            (float(point["nec"]), float(point["accuracy"])) for point in random if point.get("accuracy") is not None
        )
    levels = {
        name: value
        for name, key in (("linear probe", "linear_probe"), ("zero-shot", "zero_shot"))
        if (value := _share(metrics, key)) is not None
    }
    return NecCurve(series, levels)
