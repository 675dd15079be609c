"""Heads, path and baselines on small planted data: exact sparsity, exact folding, honest reports."""

import numpy as np
import pytest
import scipy.sparse

from cbm.core.codes import Codes
from cbm.core.errors import Cancelled, InvalidInputError, MismatchError
from cbm.core.run import Run
from cbm.dictionaries.linear import RandomProjections
from cbm.heads.base import LinearHead, stratified_split
from cbm.heads.baselines import linear_probe, zero_shot
from cbm.heads.dense_probe import DN_CBM_PROBES, ConvergedProbeConfig, DnCbmProbeConfig, fit_dense_probe
from cbm.heads.fit import HeadsConfig, LabelledRows, compare_heads
from cbm.heads.nec_path import NecPathConfig, fit_nec_path

CLASSES, CONCEPTS, DIM = 4, 40, 24


def planted(rows: int, seed: int, noise: float = 0.05) -> LabelledRows:
    """Each class has three concepts of its own; five of 40 are active in a row; embeddings are the codes through random directions."""
    generator = np.random.default_rng(seed)
    directions = np.random.default_rng(99).standard_normal((CONCEPTS, DIM))
    labels = generator.integers(0, CLASSES, rows)
    dense = np.zeros((rows, CONCEPTS), np.float32)
    for row, label in enumerate(labels):
        own = generator.choice(np.arange(3 * label, 3 * label + 3), 2, replace=False)
        others = generator.choice(np.arange(12, CONCEPTS), 3, replace=False)
        dense[row, own] = 1 + generator.random(2)
        dense[row, others] = generator.random(3) + 0.1
    embeddings = (dense @ directions + noise * generator.standard_normal((rows, DIM)) + 0.5).astype(np.float32)
    return LabelledRows(Codes.from_csr(scipy.sparse.csr_matrix(dense)), embeddings, labels)


@pytest.fixture(scope="module")
def train():
    return planted(300, 0)


@pytest.fixture(scope="module")
def test_rows():
    return planted(200, 1)


def random_head(seed: int = 0) -> LinearHead:
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((CLASSES, CONCEPTS)).astype(np.float32)
    return LinearHead(weight, generator.standard_normal(CLASSES).astype(np.float32), "dense")


def test_logits_are_the_dense_product_plus_bias(train):
    head = random_head()
    expected = train.codes.to_dense() @ head.weight.T + head.bias
    np.testing.assert_allclose(head.logits(train.codes), expected, atol=1e-5)
    np.testing.assert_allclose(head.logits(train.codes[:1]), expected[:1], atol=1e-5)
    assert head.logits(train.codes[:0]).shape == (0, CLASSES)


def test_zeroing_a_concept_changes_the_logit_by_its_contribution(train):
    head = random_head(1)
    code = train.codes[:1]
    without = Codes(code.indices, np.where(np.arange(code.values.shape[1]) == 2, 0, code.values).astype(np.float32), code.size)
    contribution = head.weight[:, code.indices[0, 2]] * code.values[0, 2]
    np.testing.assert_allclose(head.logits(code) - head.logits(without), contribution[None], atol=1e-5)


def test_codes_of_another_dictionary_are_refused():
    with pytest.raises(MismatchError, match="7 concepts"):
        random_head().logits(Codes(np.zeros((2, 1), np.int32), np.ones((2, 1), np.float32), 7))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), "2 labels for 300 rows"),
        (np.full(300, -1), "outside 0"),
        (np.full(300, 9), "outside 0"),
        (np.zeros(300, int), "at least two"),
        (np.zeros(300), "whole class numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_a_reason(train, labels, message):
    with pytest.raises(InvalidInputError, match=message):
        fit_nec_path(train.codes, labels, CLASSES)


@pytest.mark.parametrize("fit", [fit_nec_path, fit_dense_probe])
def test_activations_that_are_not_finite_are_refused_before_any_solver_starts(train, fit):
    values = train.codes.values.copy()
    values[3, 0] = np.inf
    with pytest.raises(InvalidInputError, match="finite"):
        fit(Codes(train.codes.indices, values, train.codes.size), train.labels, CLASSES)


def test_split_holds_out_a_share_of_every_class_but_never_all():
    labels = np.repeat([0, 1, 2], [100, 10, 1])
    kept, held = stratified_split(labels, 0.2, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(111))
    assert (np.bincount(labels[held], minlength=3) == [20, 2, 0]).all()


@pytest.mark.parametrize("config", [ConvergedProbeConfig(), DnCbmProbeConfig(epochs=60, batch_size=64)])
def test_dense_probes_solve_separable_classes(train, test_rows, config):
    head = fit_dense_probe(train.codes, train.labels, CLASSES, config)
    assert head.kind == "dense"
    assert (head.predict(test_rows.codes) == test_rows.labels).mean() > 0.98


def test_dn_cbm_probe_has_no_bias_no_exact_zeros_and_repeats_by_seed(train):
    config = DnCbmProbeConfig(epochs=3, batch_size=64, seed=5)
    first, second = (fit_dense_probe(train.codes, train.labels, CLASSES, config) for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)
    assert not first.bias.any()
    assert first.nec == CONCEPTS


def test_dn_cbm_presets_are_the_published_constants():
    constants = {name: (config.learning_rate, config.l1, config.epochs, config.batch_size) for name, config in DN_CBM_PROBES.items()}
    assert constants["imagenet"] == (1e-3, 1.0, 200, 512)
    assert constants["cifar100"] == (1e-2, 1.0, 200, 512)
    assert constants["waterbirds100"] == (1e-1, 10.0, 200, 512)


@pytest.mark.parametrize("refit", ["none", "ridge", "auto"])
def test_every_reached_point_has_exactly_the_asked_number_of_weights(train, test_rows, refit):
    config = NecPathConfig(refit=refit)
    path = fit_nec_path(train.codes, train.labels, CLASSES, (1, 2.5, 5), test=(test_rows.codes, test_rows.labels), config=config)
    assert [point.nec for point in path.points] == [1, 2.5, 5]
    for point in path.points:
        assert point.reached
        assert point.head is not None
        assert point.head.nec == point.nec
        assert point.optimality_gap <= 1e-3
        assert point.nec_before_truncation >= point.nec
        assert point.accuracy == pytest.approx((point.head.predict(test_rows.codes) == test_rows.labels).mean())
    assert path.point(5).accuracy > 0.97
    assert path.average_accuracy == pytest.approx(np.mean([point.accuracy for point in path.points]))


def test_the_path_finds_the_planted_concepts(train):
    head = fit_nec_path(train.codes, train.labels, CLASSES, (3,)).points[0].head
    for label in range(CLASSES):
        own = head.weight[label, 3 * label : 3 * label + 3]
        assert (own > 0).all()
    assert np.count_nonzero(head.weight[:, 12:]) == 0


def test_an_unreachable_target_is_reported_and_nothing_stands_in_for_it(train, test_rows):
    path = fit_nec_path(train.codes, train.labels, CLASSES, (2, 10_000), test=(test_rows.codes, test_rows.labels))
    missed = path.point(10_000)
    assert path.point(2).reached
    assert not missed.reached
    assert missed.head is None
    assert missed.accuracy is None
    assert path.average_accuracy is None


def test_a_class_without_rows_is_never_predicted_and_has_no_weights(train, test_rows):
    for head in (
        fit_nec_path(train.codes, train.labels, CLASSES + 1, (2,)).points[0].head,
        fit_dense_probe(train.codes, train.labels, CLASSES + 1),
    ):
        assert head.weight.shape == (CLASSES + 1, CONCEPTS)
        assert not head.weight[CLASSES].any()
        assert (head.predict(test_rows.codes) < CLASSES).all()


def test_the_path_repeats_by_seed(train):
    first, second = (fit_nec_path(train.codes, train.labels, CLASSES, (2, 4)) for _ in range(2))
    for one, other in zip(first.points, second.points, strict=True):
        np.testing.assert_array_equal(one.head.weight, other.head.weight)
        np.testing.assert_array_equal(one.head.bias, other.head.bias)


def test_permuting_concepts_permutes_the_weights(train):
    order = np.random.default_rng(3).permutation(CONCEPTS)
    config = NecPathConfig(refit="ridge", ridge_strengths=(1e-2,))
    plain = fit_nec_path(train.codes, train.labels, CLASSES, (2,), tolerance=1e-6, config=config).points[0].head
    shuffled = fit_nec_path(train.codes.to_csr()[:, order], train.labels, CLASSES, (2,), tolerance=1e-6, config=config).points[0].head
    np.testing.assert_allclose(shuffled.weight, plain.weight[:, order], atol=1e-2)


def test_two_classes_work(train):
    two = train[np.flatnonzero(train.labels < 2)]
    dense = fit_dense_probe(two.codes, two.labels, 2)
    # Six concepts matter, and with two classes each weighs on both.
    sparse = fit_nec_path(two.codes, two.labels, 2, (6,)).points[0].head
    assert (dense.predict(two.codes) == two.labels).mean() > 0.98
    assert (sparse.predict(two.codes) == two.labels).mean() > 0.95


@pytest.mark.wrong_types
def test_linear_probe_and_zero_shot(train, test_rows):
    probe = linear_probe(train.embeddings, train.labels, CLASSES, test=(test_rows.embeddings, test_rows.labels))
    assert probe.accuracy > 0.95
    assert probe.accuracy == (probe.logits(test_rows.embeddings).argmax(axis=1) == test_rows.labels).mean()
    axes = np.eye(CLASSES, DIM, dtype=np.float32)
    assert zero_shot(5 * axes[[0, 1, 2, 3, 0]], np.array([0, 1, 2, 3, 1]), axes * 3) == 0.8
    with pytest.raises(MismatchError):
        zero_shot(axes, np.arange(CLASSES), axes[:, :3])


def test_random_concepts_keep_the_largest_projections_only(train):
    concepts = RandomProjections.draw(train.embeddings, size=64, k=6, seed=1)
    np.testing.assert_allclose(np.linalg.norm(concepts.directions, axis=1), 1, rtol=1e-5)
    dense = concepts.encode(train.embeddings).to_dense()
    projected = np.maximum((train.embeddings - train.embeddings.mean(axis=0)) @ concepts.directions.T, 0)
    for row in range(10):
        top = np.argsort(-projected[row])[:6]
        np.testing.assert_allclose(dense[row, top], projected[row, top], rtol=1e-4, atol=1e-4)
        assert np.count_nonzero(dense[row]) <= 6


def test_one_call_compares_all_heads_with_rising_progress(train, test_rows):
    seen = []
    config = HeadsConfig(necs=(2, 4))
    texts = np.random.default_rng(0).standard_normal((CLASSES, DIM)).astype(np.float32)
    report = compare_heads(train, test_rows, CLASSES, class_text_embeddings=texts, config=config, run=Run(seen.append))
    assert report.dense_accuracy > 0.98
    assert report.linear_probe.accuracy > 0.95
    assert 0 <= report.zero_shot <= 1
    assert report.random_path is not None
    assert report.path.point(4).accuracy > report.random_path.point(4).accuracy
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert report.head("sparse", 4) is report.path.point(4).head
    assert report.head("dense") is report.dense
    with pytest.raises(InvalidInputError, match="no sparse head at NEC 7"):
        report.head("sparse", 7)


def test_unlabelled_rows_take_no_part(train, test_rows):
    labels = np.concatenate([train.labels, [-1, -1]])
    extra = LabelledRows(
        Codes.concatenate([train.codes, train.codes[:2]]), np.concatenate([train.embeddings, train.embeddings[:2]]), labels
    )
    config = HeadsConfig(necs=(2,), random_concepts=False)
    with_extra, without = (compare_heads(rows, test_rows, CLASSES, config=config) for rows in (extra, train))
    np.testing.assert_array_equal(with_extra.path.points[0].head.weight, without.path.points[0].head.weight)
    assert with_extra.zero_shot is None


def test_cancelling_stops_every_fit(train):
    for fit in (fit_nec_path, fit_dense_probe):
        with pytest.raises(Cancelled):
            fit(train.codes, train.labels, CLASSES, cancelled=lambda: True)
