"""What every registered part promises, checked on every one of them, those of tomorrow included."""

from __future__ import annotations

import json
import runpy
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from cbm.bottlenecks.base import load_bottleneck
from cbm.bottlenecks.linear import LinearConcepts
from cbm.bottlenecks.sparse_words import SparseWords
from cbm.core.arrays import unit_rows
from cbm.core.bottleneck import Bottleneck
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError, MismatchError
from cbm.core.run import Run
from cbm.core.settings import settings_fields
from cbm.dictionaries.jumprelu import as_jumprelu
from cbm.dictionaries.part import FittedDictionary
from cbm.dictionaries.topk_dictionary import TopKDictionary
from cbm.heads.base import LinearHead
from cbm.heads.part import HeadRows
from cbm.model.concept_model import ConceptModel
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.names.meaning import NameMeanings, likely_duplicates
from cbm.registry import BOTTLENECKS, DICTIONARIES, HEADS, LISTS
from cbm.study.concept_map import stored_map
from cbm.ui.pages.concepts import directions_of

DIM, WIDTH, K = 11, 24, 4
DOCS = Path(__file__).resolve().parents[2] / "docs"
CLASSES = 3


def rows(count: int = 160, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, DIM)) @ generator.normal(size=(DIM, DIM)) + generator.normal(size=DIM)).astype(np.float32)


@lru_cache
def fitted(variant: str, seed: int = 0) -> FittedDictionary:
    part = DICTIONARIES[variant]
    given = {"width": None if variant == "dn-cbm" else WIDTH, "k": K, "epochs": 2 if part.trained else None}
    return part.fit(rows(), part.make_settings(given, DIM), Run(device="cpu", seed=seed))


@lru_cache
def with_random_parameters(kind: str) -> Bottleneck:
    """One of this kind whose every parameter is random and not zero: zeros hide mistakes."""
    for variant in DICTIONARIES.names:
        found = fitted(variant).dictionary
        if found.kind == kind:
            generator = np.random.default_rng(7)
            tensors = {
                name: (np.abs(tensor) if name == "threshold" else tensor) + generator.uniform(0.01, 0.1, tensor.shape).astype(np.float32)
                for name, tensor in found.tensors().items()
            }
            return BOTTLENECKS[kind].from_tensors(tensors, found.settings())
    if kind == LinearConcepts.kind:
        generator = np.random.default_rng(8)
        weight, bias = generator.normal(size=(WIDTH, DIM)), generator.normal(size=WIDTH)
        return LinearConcepts(weight.astype(np.float32), bias.astype(np.float32), [f"word {number}" for number in range(WIDTH)])
    if kind == TopKDictionary.kind:
        found = with_random_parameters("jumprelu")
        return TopKDictionary.from_tensors(found.tensors(), {**found.settings(), "k": K})
    if kind == SparseWords.kind:
        generator = np.random.default_rng(9)
        atoms, mean = unit_rows(generator.normal(size=(WIDTH, DIM))), generator.normal(0, 0.2, DIM).astype(np.float32)
        return SparseWords(atoms, mean, [f"word {number}" for number in range(WIDTH)], 0.3, 10, 1.7)
    raise AssertionError(f"no variant makes a bottleneck of kind {kind}: let this test know how one is made")


@pytest.mark.parametrize("kind", BOTTLENECKS.names)
def test_a_bottleneck_encodes_each_embedding_on_its_own(kind: str) -> None:
    bottleneck = with_random_parameters(kind)
    embeddings = rows(30, seed=3)
    codes = bottleneck.encode(embeddings)
    assert bottleneck.kind == kind
    assert bottleneck.summary
    assert (codes.size, bottleneck.dim, len(bottleneck.names)) == (bottleneck.size, DIM, bottleneck.size)
    assert codes.indices.min() >= 0
    assert codes.indices.max() < bottleneck.size
    alone = np.concatenate([bottleneck.encode(embeddings[[row]]).to_dense() for row in range(len(embeddings))])
    np.testing.assert_allclose(alone, codes.to_dense(), rtol=1e-4, atol=1e-5)
    assert ((alone != 0).mean() > 0.5) == bottleneck.abilities.dense
    assert len(bottleneck.encode(embeddings[:0])) == 0
    with pytest.raises(MismatchError):
        bottleneck.encode(np.zeros((2, DIM + 1), np.float32))


@pytest.mark.parametrize("kind", BOTTLENECKS.names)
def test_a_bottleneck_survives_the_disk(kind: str, tmp_path: Path) -> None:
    bottleneck = with_random_parameters(kind)
    bottleneck.save(tmp_path)
    again = load_bottleneck(tmp_path)
    assert type(again) is type(bottleneck)
    np.testing.assert_array_equal(again.encode(rows(20, 4)).to_dense(), bottleneck.encode(rows(20, 4)).to_dense())


@pytest.mark.parametrize("kind", BOTTLENECKS.names)
def test_a_bottleneck_can_do_what_it_declares_and_refuses_the_rest(kind: str) -> None:
    bottleneck = with_random_parameters(kind)
    embeddings, abilities = rows(9, 5), bottleneck.abilities
    codes = bottleneck.encode(embeddings)
    some = np.array([bottleneck.size - 1, 0])
    if abilities.directions:
        assert bottleneck.directions.shape == (bottleneck.size, DIM)
    if abilities.decodes:
        assert bottleneck.decode(codes).shape == embeddings.shape
    if abilities.jumprelu:
        form = as_jumprelu(bottleneck)
        responses = form.preactivations(embeddings, np.arange(form.size))
        np.testing.assert_allclose(np.where(responses > form.threshold, responses, 0), codes.to_dense(), rtol=1e-4, atol=1e-5)
    else:
        with pytest.raises(InvalidInputError, match="bundle alone"):
            as_jumprelu(bottleneck)
    if abilities.patches:
        responses = bottleneck.preactivations(embeddings, some)
        np.testing.assert_allclose(responses[:, ::-1], bottleneck.preactivations(embeddings, some[::-1]), rtol=1e-5, atol=1e-6)
        assert responses.shape == (9, 2)
    for declared, ask in (
        (abilities.directions, lambda: bottleneck.directions),
        (abilities.decodes, lambda: bottleneck.decode(codes)),
        (abilities.patches, lambda: bottleneck.preactivations(embeddings, some)),
    ):
        if not declared:
            with pytest.raises(MismatchError, match="has no"):
                ask()


@pytest.mark.parametrize("kind", BOTTLENECKS.names)
def test_concepts_with_directions_have_a_map_and_near_duplicates_and_can_be_merged(kind: str, tmp_path: Path) -> None:
    found = with_random_parameters(kind)
    assert found.abilities.directions, "every kind of today has directions"
    tensors = {name: tensor.copy() for name, tensor in found.tensors().items()}
    for tensor in tensors.values():
        if tensor.shape == (found.size, DIM):
            tensor[1] = tensor[0]
    bottleneck = BOTTLENECKS[kind].from_tensors(tensors, found.settings())
    table = ConceptTable.unnamed(ActivationStatistics.of(bottleneck.encode(rows(50))))
    head = LinearHead(np.ones((2, bottleneck.size), np.float32), np.zeros(2, np.float32), "dense")
    directions = directions_of(ConceptModel(bottleneck, head, table, ("a", "b")))
    layout = stored_map(tmp_path, directions, keep=False)
    assert layout is not None
    assert layout.similarities[:2, 0] == pytest.approx([1, 1], abs=1e-5)
    names = ["sea", "sea", *(f"word {number}" for number in range(bottleneck.size - 2))]
    meanings = NameMeanings(tuple(dict.fromkeys(names)), np.eye(bottleneck.size - 1, dtype=np.float32))
    groups = likely_duplicates(names, layout.neighbours, layout.similarities, meanings, np.arange(bottleneck.size))
    assert set(groups[0].concepts) == {0, 1}


@pytest.mark.parametrize("variant", DICTIONARIES.names)
def test_a_dictionary_is_learned_alike_by_the_same_seed(variant: str) -> None:
    first = fitted(variant).dictionary
    part = DICTIONARIES[variant]
    given = {"k": K, "width": None if variant == "dn-cbm" else WIDTH, "epochs": 2 if part.trained else None}
    second = part.fit(rows(), part.make_settings(given, DIM), Run(device="cpu")).dictionary
    for name, tensor in first.tensors().items():
        np.testing.assert_array_equal(tensor, second.tensors()[name], err_msg=name)
    np.testing.assert_allclose(np.linalg.norm(first.directions, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("variant", DICTIONARIES.names)
def test_a_recorded_request_leads_back_to_its_arguments(variant: str) -> None:
    part = DICTIONARIES[variant]
    record = json.loads(json.dumps(part.record(part.make_settings({"k": K}, DIM), 5)))
    back = part.arguments(record, DIM)
    assert back is not None
    assert (back.pop("variant"), back.pop("seed")) == (variant, 5)
    assert json.loads(json.dumps(part.record(part.make_settings(back, DIM), 5))) == record


def labelled_rows(count: int = 120) -> HeadRows:
    """Classes that differ in which concepts fire, with noise."""
    generator = np.random.default_rng(2)
    labels = generator.integers(0, CLASSES, count)
    dense = np.where(generator.random((count, 12)) < 0.2, generator.uniform(0.1, 1, (count, 12)), 0)
    dense[np.arange(count), labels * 4 + generator.integers(0, 4, count)] += 2
    kept = np.sort(np.argpartition(-dense, 5, axis=1)[:, :5], axis=1)
    codes = Codes(kept.astype(np.int32), np.take_along_axis(dense, kept, axis=1).astype(np.float32), 12)
    return HeadRows(codes, labels, CLASSES, ("plum", "ball", "brick"), tuple(f"concept {number}" for number in range(12)))


HEAD_NEEDS = {"signs": {"signs": {"plum": {"concept 0": 1, "concept 4": -1}}}}
"""What heads need that have no default for it."""


@pytest.mark.parametrize("name", HEADS.names)
def test_a_head_is_linear_and_the_same_for_the_same_seed(name: str) -> None:
    part, training = HEADS[name], labelled_rows()
    head, again = (part.fit(training, part.settings(**HEAD_NEEDS.get(name, {})), Run(seed=3)) for _ in range(2))
    assert head.weight.shape == (CLASSES, 12)
    assert head.bias.shape == (CLASSES,)
    np.testing.assert_array_equal(head.weight, again.weight)
    np.testing.assert_array_equal(head.bias, again.bias)
    expected = training.codes.to_dense().astype(np.float64) @ head.weight.astype(np.float64).T + head.bias
    np.testing.assert_allclose(head.logits(training.codes), expected, rtol=1e-4, atol=1e-4)
    assert (head.predict(training.codes) == training.labels).mean() > 0.9
    assert part.dense == (head.nec > 6)


@pytest.mark.parametrize("registry", [parts for parts in LISTS if parts is not BOTTLENECKS], ids=lambda parts: parts.kind)
def test_every_part_says_what_it_is_and_what_each_setting_means(registry) -> None:
    for part in registry:
        assert registry[part.name] is part
        assert part.summary.endswith(".")
        assert part.label
        for field in settings_fields(part.settings):
            assert field.help, f"{part.name}: {field.name} has no docstring"


def test_the_list_of_parts_in_the_docs_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_parts.py"))["page"]()
    assert (DOCS / "parts.md").read_text(encoding="utf-8") == page, "run python docs/make_parts.py"
