"""Heads of other methods: closed forms, planted answers, and training with each from the verb."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.special import log_softmax, softmax
from sklearn.linear_model import SGDClassifier

from cbm import verbs
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.demo.pipeline import Demonstrated
from cbm.heads import association, closed_form, gated, signs
from cbm.heads.descent import Activations, Descent, descend
from cbm.heads.part import HeadRows
from cbm.heads.scaling import Scaling
from cbm.heads.sign_table import read_signs, sign_matrix
from cbm.names.concepts import ConceptTable
from cbm.registry import HEADS
from cbm.study.study import Study
from cbm.verbs.class_texts import concept_texts
from cbm.workspace.workspace import Workspace

CLASSES = ("plum", "ball", "brick")
CONCEPTS = ("red", "round", "heavy", "wet", "loud", "new")


def planted(count: int = 240, density: float = 0.3, noise: float = 0.05) -> HeadRows:
    """Class c has concept c; the other three concepts come and go as they like."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    values = np.where(generator.random((count, 6)) < density, generator.uniform(0.5, 1.5, (count, 6)), 0.0)
    values[:, :3] = noise * generator.random((count, 3)) * (generator.random((count, 3)) < density)
    values[np.arange(count), labels] = generator.uniform(0.8, 1.2, count)
    return HeadRows(Codes.from_csr(sparse.csr_matrix(values.astype(np.float32))), labels, 3, CLASSES, CONCEPTS)


def random_rows(rows: int, concepts: int, density: float) -> sparse.csr_matrix:
    return sparse.random(rows, concepts, density, format="csr", dtype=np.float32, random_state=np.random.default_rng(3))


@pytest.mark.parametrize(("rows", "concepts"), [(30, 12), (12, 30)])
def test_the_ridge_solves_the_normal_equations_and_leaves_rows_out_exactly(rows: int, concepts: int) -> None:
    matrix = random_rows(rows, concepts, 0.5)
    targets = np.eye(3)[np.random.default_rng(1).integers(0, 3, rows)]
    strength = 0.7

    def normal_equations(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        # The last column is the bias, which has no penalty.
        extended = np.concatenate([features, np.ones((len(features), 1))], axis=1)
        penalty = strength * np.diag([1.0] * features.shape[1] + [0.0])
        return np.linalg.solve(extended.T @ extended + penalty, extended.T @ wanted)

    dense = matrix.toarray().astype(np.float64)
    expected = normal_equations(dense, targets)
    found = closed_form.spectrum(matrix)
    weight, bias = closed_form.ridge(found, matrix, targets, strength)
    np.testing.assert_allclose(weight, expected[:-1].T, atol=1e-7)
    np.testing.assert_allclose(bias, expected[-1], atol=1e-7)

    others = [np.delete(np.arange(rows), row) for row in range(rows)]
    left_out = np.stack([np.append(dense[row], 1) @ normal_equations(dense[rest], targets[rest]) for row, rest in enumerate(others)])
    left = closed_form.leave_one_out(found, targets, strength)
    np.testing.assert_allclose(left.predictions, left_out, atol=1e-6)
    assert left.squared_error == pytest.approx(np.square(targets - left_out).mean())


def test_the_ridge_takes_the_strength_with_the_least_left_out_error() -> None:
    rows = planted(60)
    head = HEADS["closed-form"].fit(rows, closed_form.ClosedFormSettings(ridge_shares=(1e3, 1e-2)), Run())
    only = HEADS["closed-form"].fit(rows, closed_form.ClosedFormSettings(ridge_shares=(1e-2,)), Run())
    np.testing.assert_array_equal(head.weight, only.weight)
    assert head.details["left_out_accuracy"] > 0.9


def test_confidence_is_the_factor_with_the_least_cross_entropy() -> None:
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 3, 300)
    scores = 0.2 * np.eye(3)[labels] + 0.1 * generator.normal(size=(300, 3))

    def cross_entropy(factor: float) -> float:
        return -float(log_softmax(factor * scores, axis=1)[np.arange(300), labels].mean())

    found = closed_form.confidence(scores, labels)
    best = min(np.geomspace(0.01, 1000, 4000), key=cross_entropy)
    assert found == pytest.approx(best, rel=0.01)


def test_weights_from_texts_need_no_labels() -> None:
    rows = planted()
    directions = np.eye(7, dtype=np.float32)[:6]
    texts = directions.copy()
    texts[5] = 0
    classes = directions[:3] + 0.1
    given = HeadRows(rows.codes, rows.labels, 3, CLASSES, CONCEPTS, classes, texts)
    head = HEADS["closed-form"].fit(given, closed_form.ClosedFormSettings(weights_from="texts"), Run())
    assert (head.predict(rows.codes) == rows.labels).mean() > 0.95
    assert not head.weight[:, 5].any()
    relabelled = HeadRows(rows.codes, (rows.labels + 1) % 3, 3, CLASSES, CONCEPTS, classes, texts)
    other = HEADS["closed-form"].fit(relabelled, closed_form.ClosedFormSettings(weights_from="texts"), Run())
    # Labels decide how sure the head is and nothing else.
    np.testing.assert_allclose(head.weight / np.abs(head.weight).max(), other.weight / np.abs(other.weight).max(), rtol=1e-4, atol=1e-6)
    with pytest.raises(InvalidInputError, match="--weights-from labels"):
        HEADS["closed-form"].fit(rows, closed_form.ClosedFormSettings(weights_from="texts"), Run())


@pytest.mark.parametrize("density", [0.1, 0.8])
def test_logits_of_scaled_activations_are_those_of_folded_weights(density: float) -> None:
    matrix = random_rows(40, 9, density)
    generator = np.random.default_rng(2)
    weight, bias = generator.normal(size=(4, 9)), generator.normal(size=4)
    scaling = Scaling.standard(matrix)
    dense = matrix.toarray().astype(np.float64)
    deviation = dense.std(axis=0)
    standard = (dense - dense.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)
    computed = Activations(matrix, scaling).logits(torch.from_numpy(weight.T.astype(np.float32))).numpy() + bias
    np.testing.assert_allclose(computed, standard @ weight.T + bias, atol=1e-4)
    folded, folded_bias = scaling.fold(weight, bias)
    np.testing.assert_allclose(dense @ folded.T + folded_bias, standard @ weight.T + bias, atol=1e-9)


def test_descent_ends_where_the_watched_figure_was_lowest() -> None:
    position = torch.zeros(1, requires_grad=True)
    how = Descent(0.1, 200, 4, patience=5)
    epochs = descend([position], lambda rows: -position.sum(), 8, how, Run(), "going up", lambda: abs(float(position) - 1))
    assert float(position.detach()) == pytest.approx(1, abs=0.11)
    assert epochs < 20


def test_the_cross_entropy_of_an_association_is_that_of_its_softmax_over_concepts() -> None:
    matrix = random_rows(20, 6, 0.2)
    generator = np.random.default_rng(5)
    matrix_a, labels = generator.normal(size=(6, 3)).astype(np.float32), generator.integers(0, 3, 20)
    scaling = Scaling.common(matrix, 100.0)
    dense = matrix.toarray().astype(np.float64)
    dense *= 100 / np.sqrt(np.square(dense).sum(axis=1).mean())
    expected = -log_softmax(dense @ softmax(matrix_a.astype(np.float64), axis=0), axis=1)[np.arange(20), labels].mean()
    activations, targets = Activations(matrix, scaling), torch.from_numpy(labels)
    value = association.cross_entropy(torch.from_numpy(matrix_a), activations, targets, None)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_a_planted_association_is_found_and_no_weight_is_negative() -> None:
    rows = planted()
    head = HEADS["association"].fit(rows, association.AssociationSettings(), Run())
    assert head.weight.argmax(axis=1).tolist() == [0, 1, 2]
    assert (head.weight > 0).all()
    np.testing.assert_allclose(head.weight.sum(axis=1), head.weight.sum(axis=1)[0], rtol=1e-5)
    assert not head.bias.any()
    assert (head.predict(rows.codes) == rows.labels).mean() > 0.95


def test_an_association_starts_from_the_class_in_which_a_concept_is_strongest() -> None:
    values = np.array([[1, 0, 0, 5], [3, 0, 0, 5], [0, 2, 0, 5], [1, 0, 0, 5]], np.float32)
    start = association.strongest_class(Codes.from_csr(sparse.csr_matrix(values)), np.array([0, 0, 2, 2]), 3)
    # Concept 2 is never active, concept 3 equally in all classes, and class 1 has no rows.
    assert start.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_one_image_of_each_class_is_enough_for_an_association() -> None:
    rows = planted()
    head = HEADS["association"].fit(HeadRows(rows.codes[:3], rows.labels[:3], 4), association.AssociationSettings(), Run())
    assert (head.predict(rows.codes) == rows.labels).mean() > 0.8
    assert not head.weight[3].any(), "a class without rows has no concepts"


def test_signs_are_read_from_all_that_may_hold_them(tmp_path: Path) -> None:
    expected = {"plum": {"red": 1, "loud": -1}, "ball": {"red": 0}}
    table = tmp_path / "signs.csv"
    table.write_text("class,red,loud\nplum,1,-1\nball,0,\n", encoding="utf-8")
    inline = tmp_path / "signs.json"
    inline.write_text(json.dumps(expected), encoding="utf-8")
    for given in (str(table), str(inline), json.dumps(expected), expected):
        assert read_signs(given) == expected
    kept = signs.SignSettings(signs=str(table))
    table.unlink()
    assert kept == signs.SignSettings(signs=expected)
    matrix = sign_matrix(
        read_signs({"Red_Ball": {"Very  red": 1, "new": -1}}), ("plum", "red ball"), ("very red", "new", "very_red", "old")
    )
    np.testing.assert_array_equal(matrix, [[np.nan] * 4, [1, -1, 1, np.nan]])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("notes.txt", "not a table of signs"),
        ("nowhere.csv", "cannot be read"),
        ("{", "not valid JSON"),
        ('{"plum": 1}', "no concepts for 'plum'"),
        ('{"plum": {"red": 2}}', "must be -1, 0 or 1"),
        ('{"plum": {}}', "is empty"),
    ],
)
def test_what_is_no_table_of_signs_is_refused(given: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        signs.SignSettings(signs=given)


def test_signs_of_unknown_classes_and_concepts_are_refused() -> None:
    rows = planted(30)
    for table, says in (
        ({"pear": {"red": 1}}, "'pear': there is no such class"),
        ({"plum": {"rde": 1}}, "'rde': there is no such concept"),
    ):
        with pytest.raises(InvalidInputError, match=says):
            HEADS["signs"].fit(rows, signs.SignSettings(signs=table), Run())
    with pytest.raises(InvalidInputError, match=r"give --signs .* Classes: plum, ball, brick"):
        HEADS["signs"].fit(rows, signs.SignSettings(), Run())


def test_the_sign_penalty_is_a_mean_over_named_pairs() -> None:
    generator = np.random.default_rng(6)
    weight = generator.normal(size=(5, 3)).astype(np.float32)
    wanted = np.where(generator.random((5, 3)) < 0.5, generator.integers(-1, 2, (5, 3)), np.nan).astype(np.float32)
    pairs = [abs(np.tanh(w) - s) for w, s in zip(weight.ravel(), wanted.ravel(), strict=True) if s == s]
    assert float(signs.penalty(torch.from_numpy(weight), torch.from_numpy(wanted))) == pytest.approx(np.mean(pairs), rel=1e-5)
    assert float(signs.penalty(torch.from_numpy(weight), torch.full((5, 3), torch.nan))) == 0


def test_a_strong_table_of_signs_outweighs_the_labels() -> None:
    rows = planted(120)
    against = {"plum": {"red": -1, "loud": 0}, "ball": {"round": 1}}
    quick = {"sign_step": 0.02, "sign_passes": 60}
    free = HEADS["signs"].fit(rows, signs.SignSettings(signs=against, strength=0, **quick), Run())
    strong = HEADS["signs"].fit(rows, signs.SignSettings(signs=against, strength=100, **quick), Run())
    assert free.weight[0, 0] > 0
    assert strong.weight[0, 0] < 0
    assert abs(strong.weight[0, 4]) < 0.1
    assert strong.weight[1, 1] > 0
    assert strong.details["respected"] == 1
    assert free.details["respected"] == 0.5


def test_gates_close_on_concepts_that_say_nothing() -> None:
    rows = planted()
    head = HEADS["gated"].fit(rows, gated.GatedSettings(gate_penalties=(3e-3,)), Run())
    assert np.flatnonzero(head.weight.any(axis=0)).tolist() == [0, 1, 2]
    assert head.details["concepts"] == 3
    assert (head.predict(rows.codes) == rows.labels).mean() > 0.95


def test_the_best_gate_for_given_weights_costs_least() -> None:
    worth = np.array([0.0, 0.1, 0.5, 2.0, 50.0])
    grid = np.linspace(1e-3, 1, 5000)
    cost = 2e-3 * worth[:, None] / grid + 3e-3 * grid
    np.testing.assert_allclose(gated.best_gates(worth, 2e-3, 3e-3), grid[cost.argmin(axis=1)], atol=3e-4)


def test_gates_end_where_no_other_gates_and_weights_are_better() -> None:
    rows = planted()
    l1, cost = 1e-3, 8e-3
    gates = gated.learn_gates(
        rows.codes.to_csr(), rows.labels, 3, cost, gated.GatedSettings(gate_step=0.01, gate_passes=2000, l1=l1), Run()
    )
    assert (gates.open[:3] > 0.3).all()
    assert (gates.open[:3] < 0.6).all()
    dense = rows.codes.to_dense().astype(np.float64)
    standard = (dense - dense.mean(axis=0)) / dense.std(axis=0)

    def objective(opened: np.ndarray, weight: np.ndarray) -> float:
        scores = log_softmax((opened * standard) @ weight.T + gates.bias, axis=1)
        return float(-scores[np.arange(len(scores)), rows.labels].mean() + l1 * np.abs(weight).sum() / 3 + cost * opened.sum())

    weight = gates.weight / gates.open
    found = objective(gates.open, weight)
    for concept in range(3):
        for factor in (0.7, 1.4):
            opened, other = gates.open.copy(), weight.copy()
            opened[concept] *= factor
            assert objective(opened, weight) > found
            other[:, concept] *= factor
            assert objective(gates.open, other) > found
            other[:, concept] = weight[:, concept] / factor
            assert objective(opened, other) > found


def test_the_largest_gate_penalty_that_costs_no_accuracy_is_taken() -> None:
    rows = planted()
    settings = gated.GatedSettings(gate_penalties=(1.0, 1e-4, 3e-3), gate_passes=100)
    chosen, accuracies = gated.choose_penalty(rows.codes.to_csr(), rows.labels, 3, settings, Run())
    assert chosen == 3e-3
    assert accuracies["1"] < 0.9
    assert accuracies["0.003"] >= accuracies["0.0001"] - settings.loss


def test_the_number_of_concepts_in_total_is_kept_to() -> None:
    opened = np.array([0.9, 0.2, 0.6, 0.95])
    assert gated.survivors(opened, None).tolist() == [0, 2, 3]
    assert gated.survivors(opened, 2).tolist() == [0, 3]
    assert gated.survivors(np.array([0.1, 0.3]), None).tolist() == [1]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_elastic_net_is_that_of_scikit_learn_on_scaled_activations(classes: int) -> None:
    rows = planted()
    codes, labels = rows.codes[np.flatnonzero(rows.labels < classes)], rows.labels[rows.labels < classes]
    dense = codes.to_dense().astype(np.float64)
    scaled = dense / dense.std(axis=0)
    scores = []
    for label in range(classes):
        model = SGDClassifier(loss="log_loss", penalty="elasticnet", alpha=1e-5, l1_ratio=0.99, max_iter=10_000, random_state=7)
        scores.append(model.fit(scaled, labels == label).decision_function(scaled))
    head = HEADS["elastic-net"].fit(HeadRows(codes, labels, classes + 1), HEADS["elastic-net"].settings(), Run(seed=7))
    logits = head.logits(codes)
    expected = np.stack([-scores[1] / 2, scores[1] / 2] if classes == 2 else scores, axis=1)
    np.testing.assert_allclose(logits[:, :classes], expected, rtol=1e-4, atol=1e-4)
    assert (head.predict(codes) == labels).mean() > 0.95


def test_concepts_find_their_texts_in_the_vocabulary(built_demo: tuple[Workspace, Demonstrated]) -> None:
    from cbm.names.vocabulary import Vocabulary
    from cbm.workspace.artifacts import ConceptsArtifact

    workspace, made = built_demo
    table = workspace.get(made.concepts, ConceptsArtifact)
    assert table.vocabulary is not None
    vocabulary = Vocabulary.load(workspace.get(table.vocabulary))
    texts = concept_texts([vocabulary.names[3].upper(), "unnamed 4"], vocabulary)
    assert texts is not None
    np.testing.assert_array_equal(texts, [vocabulary.embeddings[3], np.zeros(vocabulary.dim)])
    assert concept_texts(["unnamed 4"], vocabulary) is None
    assert concept_texts(["red"], None) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("elastic-net", {}),
        ("association", {"passes": 30}),
        ("signs", {"sign_passes": 3}),
        ("gated", {"gate_penalties": (1e-3,), "gate_passes": 30}),
        ("closed-form", {}),
        ("closed-form", {"weights_from": "texts"}),
    ],
)
def test_every_head_trains_from_the_verb(
    name: str, options: dict[str, object], demo_copy: Workspace, built_demo: tuple[Workspace, Demonstrated]
) -> None:
    made = built_demo[1]
    training = next(parent for parent in demo_copy.get(made.model).parents if parent.kind == "embeddings")
    if name == "signs":
        with pytest.raises(InvalidInputError, match="give --signs"):
            verbs.train(made.concepts, training, head=name, necs=(3,), workspace=demo_copy)
        concept = ConceptTable.load(demo_copy.get(made.concepts).path).names[0]
        options = {**options, "signs": {Study.open(made.model, workspace=demo_copy).class_names[0]: {concept: 1}}}
    trained = verbs.train(made.concepts, training, head=name, options=options, necs=(3,), workspace=demo_copy)
    study = Study.open(trained.model, workspace=demo_copy)
    assert study.model.head.kind == "dense"
    assert study.model.method["head"] == name
    if "weights_from" not in options:
        # From texts it is as weak as zero-shot, and the smallest demo's is no better than chance.
        assert trained.accuracy > 1 / len(study.class_names)
    assert (trained.dense == trained.accuracy) >= (not HEADS[name].bound)
    said = study.prediction(0)
    assert said.bias + sum(entry.contribution for entry in said.contributions) == pytest.approx(said.logit, abs=1e-3)
