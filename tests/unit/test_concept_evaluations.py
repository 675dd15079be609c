"""The metrics of single concepts on a planted world: each is measured, in words, as JSON can hold it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm.metrics.leakage import leakage, mutual_information
from cbm.metrics.part import Evaluation, measure_all
from cbm.registry import METRICS
from cbm.study.evaluation import concept_figures, evaluation_of
from cbm.study.opened import load_model
from cbm.study.report import report_html
from cbm.study.study import Study
from cbm.workspace.rows import AllRows
from cbm.workspace.workspace import Workspace

NEW = ("efficiency", "permuted-names", "monosemanticity", "one-latent-probes", "grounding", "leakage", "interventions")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.build(tmp_path_factory.mktemp("planted") / "workspace")


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    return Study.open(json.loads((workspace.root / "demo.json").read_text())["model"], workspace=workspace)


@pytest.fixture(scope="module")
def evaluation(study: Study) -> Evaluation:
    return replace(evaluation_of(study), linear_probe=0.9)


def test_all_figures_are_json_and_have_one_metric_each(evaluation: Evaluation) -> None:
    json.dumps(measure_all(evaluation), allow_nan=False)
    names = [name for part in METRICS if part.applies(evaluation) for name in part.measure(evaluation, part.settings())]
    assert len(names) == len(set(names))
    for part in METRICS:
        assert set(part.words) <= set(names), part.name


def test_every_new_metric_applies_to_a_world_whose_truth_is_known(evaluation: Evaluation) -> None:
    assert [name for name in NEW if not METRICS[name].applies(evaluation)] == []


def test_without_labels_and_known_concepts_only_the_concepts_themselves_are_measured(evaluation: Evaluation) -> None:
    bare = replace(
        evaluation, labels=np.full_like(evaluation.labels, -1), known_concepts=(), truth=np.zeros((len(evaluation.codes), 0), bool)
    )
    assert [name for name in NEW if METRICS[name].applies(bare)] == ["monosemanticity"]


def test_the_planted_concepts_are_found_in_sign_and_order(evaluation: Evaluation) -> None:
    figures = measure_all(evaluation)
    assert figures["monosemanticity_median"] > figures["monosemanticity_random"]
    assert figures["permuted_names_accuracy"] < figures["accuracy"] / 2
    assert figures["cem"] > figures["cem_random"]
    assert figures["cgim2"] > 0.8
    assert figures["leakage_task"] < 0.1
    assert figures["leakage_between"] < 0.1
    assert 0 < figures["cea"] < figures["accuracy"]
    assert figures["completeness"] == pytest.approx(figures["accuracy"] / 0.9)


def test_a_planted_leak_is_found_where_it_is_and_moves_no_other_measure(evaluation: Evaluation) -> None:
    known = evaluation.discovered
    assert known is not None
    labels = evaluation.labels[known.rows]
    # Of the frequent concepts the one that says least of the class: by how strongly it is active, it now says everything.
    says = [mutual_information(present.astype(np.int64), labels) if present.mean() > 0.2 else np.inf for present in known.truth.T]
    place = int(np.argmin(says))
    values = evaluation.codes.values.copy()
    told = (evaluation.codes.indices == known.latents[place]) & (values > 0)
    values[told] = (5 + np.broadcast_to(evaluation.labels[:, None], told.shape)[told]).astype(np.float32)
    leaking = replace(evaluation, codes=replace(evaluation.codes, values=values))
    more = leakage(_activations(leaking), known.truth, labels).task - leakage(known.activations, known.truth, labels).task
    assert more[place] > 0.15
    np.testing.assert_array_equal(np.delete(more, place), 0)
    before, after = measure_all(evaluation), measure_all(leaking)
    assert after["leakage_task"] == pytest.approx(before["leakage_task"] + more[place] / len(more))
    for name in ("nec", "cea", "cgim1", "monosemanticity_random"):
        assert after[name] == before[name]


def _activations(evaluation: Evaluation) -> np.ndarray:
    assert evaluation.discovered is not None
    return evaluation.discovered.activations


def test_a_latent_counts_for_one_known_concept(evaluation: Evaluation) -> None:
    twice = replace(
        evaluation,
        known_concepts=(*evaluation.known_concepts, "again"),
        truth=np.column_stack([evaluation.truth, evaluation.truth[:, 0]]),
    )
    first, second = evaluation.discovered, twice.discovered
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.latents, second.latents)
    assert len(np.unique(first.latents)) == len(first.latents)


def test_the_report_prints_them(study: Study) -> None:
    page = unescape(report_html(study, "A model"))
    figures = concept_figures(study)
    assert len(figures) > 12
    assert all(figure.words in page for figure in figures)


def test_the_linear_probe_counts_on_its_own_images_only(workspace: Workspace, study: Study) -> None:
    opened = load_model(workspace, json.loads((workspace.root / "demo.json").read_text())["model"])
    recorded = replace(opened, artifact=None, model=replace(opened.model, method={**opened.model.method, "metrics": {"linear_probe": 0.7}}))
    assert recorded.test is not None
    assert isinstance(recorded.test.selection.choice, AllRows)
    assert recorded.linear_probe_on(recorded.test.embeddings) == 0.7
    assert recorded.linear_probe_on("embeddings-of-others") is None
    elsewhere = {"linear_probe": 0.7, "measured_elsewhere": recorded.test.described()}
    assert replace(recorded, model=replace(opened.model, method={**opened.model.method, "metrics": elsewhere})).linear_probe is None
