"""What the discover page computes before it draws: evidence of concepts, costs, and sentences about figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from cbm import verbs
from cbm.backbones.reference import BackboneReference
from cbm.dictionaries.jumprelu import JumpReluDictionary
from cbm.dictionaries.sizes import sound_size
from cbm.embeddings.sets import EmbeddingSet
from cbm.study.dictionary_evidence import DictionaryEvidence
from cbm.study.dictionary_runs import Baseline, DictionaryRun, dictionary_runs, history
from cbm.study.image_sets import readable_image_sets
from cbm.study.training_costs import training_cost
from cbm.ui.pages.discover.new_runs import WIDTHS, _as_sweep_run, with_sound
from cbm.ui.pages.discover.runs import headlines, verdict
from cbm.verbs.sweep import suggest
from cbm.workspace.workspace import Workspace

DIM, SIZE = 24, 40


@pytest.fixture
def dictionary() -> JumpReluDictionary:
    generator = np.random.default_rng(0)
    return JumpReluDictionary(
        encoder=generator.normal(size=(DIM, SIZE)).astype(np.float32),
        encoder_bias=generator.normal(0, 0.1, SIZE).astype(np.float32),
        decoder=generator.normal(size=(SIZE, DIM)).astype(np.float32),
        decoder_bias=generator.normal(0, 0.1, DIM).astype(np.float32),
        threshold=np.full(SIZE, 6.0, np.float32),
        mean=generator.normal(0, 0.1, DIM).astype(np.float32),
        scale=1.3,
    )


def images(name: str, count: int, seed: int) -> EmbeddingSet:
    vectors = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    uris = [f"{name}/{row}" for row in range(count)]
    items = pd.DataFrame({"item": uris, "uri": uris, "label": -1, "group": -1, "split": "", "sha256": ""})
    return EmbeddingSet(f"embeddings-{name}", vectors, items, (), (), BackboneReference("demo", "", "0"), "raw", name)


def test_evidence_agrees_with_the_dense_codes_of_all_sets(dictionary: JumpReluDictionary) -> None:
    sets = [images("a", 90, 1), images("b", 60, 2)]
    evidence = DictionaryEvidence.of(dictionary, sets)
    dense = np.concatenate([dictionary.encode(part.embeddings).to_dense() for part in sets])
    uris = [uri for part in sets for uri in part.items["uri"]]
    np.testing.assert_allclose(evidence.frequency, (dense != 0).mean(axis=0))
    np.testing.assert_array_equal(evidence.active, (dense != 0).sum(axis=1))
    concept = int(dense.sum(axis=0).argmax())
    assert evidence.strongest(concept, 3) == tuple(uris[row] for row in np.argsort(-dense[:, concept], kind="stable")[:3])


def test_evidence_of_many_images_is_a_sample_of_every_set(dictionary: JumpReluDictionary) -> None:
    evidence = DictionaryEvidence.of(dictionary, [images("a", 300, 1), images("b", 100, 2)], sample=40)
    assert (evidence.images, evidence.total) == (40, 400)
    assert {uri[0] for uri in evidence.uris} == {"a", "b"}


def test_a_portrait_shows_different_images_of_different_concepts(dictionary: JumpReluDictionary) -> None:
    evidence = DictionaryEvidence.of(dictionary, [images("a", 200, 1)])
    portrait = evidence.portrait(6)
    assert len(set(portrait)) == 6
    assert all(any(uri in evidence.strongest(concept) for concept in evidence.telling(24)) for uri in portrait)


def test_images_without_a_picture_are_left_out(dictionary: JumpReluDictionary) -> None:
    blind = images("a", 50, 1)
    blind.items["uri"] = ""
    assert DictionaryEvidence.of(dictionary, [blind]).portrait() == ()


RUN = DictionaryRun(
    id="dictionary-a",
    created="2026-11-22T10:00:00+00:00",
    variant="batchtopk",
    width=1024,
    k=16,
    seed=0,
    images=5000,
    sets=("embeddings-a",),
    sources=("a",),
    backbone=None,
    fvu=0.3,
    cosine=0.8,
    l0=15.4,
    dead=0.6,
    held_out=250,
    seconds=12.0,
    samples_per_second=30_000.0,
    baselines=(Baseline("mean", 1.01, 0.0, 0.0), Baseline("pca-top-16", 0.25, 0.9, 16.0), Baseline("random", 0.8, 0.4, 16.0)),
)


def test_the_sentence_on_a_run_is_honest_about_what_beats_it_and_what_is_dead() -> None:
    text = verdict(RUN)
    assert "15 of 1,024 concepts per image" in text
    assert "70% of what distinguishes the images" in text
    assert "PCA, best 16 each keeps more (75%)" in text
    assert "60% of its concepts never fire" in text
    assert "about 256 concepts" in text
    assert "None of the simpler methods" in verdict(dataclasses.replace(RUN, fvu=0.2, dead=0.0))
    assert "never fire" not in verdict(dataclasses.replace(RUN, dead=0.01))


def test_figures_that_were_not_measured_are_left_out() -> None:
    bare = dataclasses.replace(RUN, fvu=None, cosine=None, l0=None, dead=None, seconds=None, baselines=())
    assert headlines(bare) == []
    assert verdict(bare) == ""


def test_a_method_without_k_is_not_taken_for_the_sparsest() -> None:
    dense = dataclasses.replace(RUN, id="dictionary-a", k=None, fvu=0.3, l0=120.4)
    sparse = dataclasses.replace(RUN, id="dictionary-b", k=8, fvu=0.31, l0=8.0)
    assert suggest([_as_sweep_run(run) for run in (dense, sparse)]) == "dictionary-b"


@pytest.mark.parametrize(("images", "dim"), [(50_000, 768), (200, 300), (60, 512), (2_000_000, 1152), (10, 7)])
def test_the_sound_size_of_any_embedding_can_be_chosen(images: int, dim: int) -> None:
    sound = sound_size(images, dim)
    assert sound.width in with_sound(WIDTHS, sound.width)
    form = size_form_of("batchtopk", images, dim)
    assert [slider.value for slider in form.select_slider] == [sound.width, sound.k]
    assert form.session_state["asked"] == {"width": sound.width, "k": sound.k}


@pytest.mark.parametrize("variant", ["dn-cbm", "pca", "neurons"])
def test_a_width_that_follows_from_the_embedding_cannot_be_chosen_and_is_not_sent(variant: str) -> None:
    form = size_form_of(variant, 400, 128)
    assert [slider.label for slider in form.select_slider] == ["Concepts per image (k)"]
    assert set(form.session_state["asked"]) == {"k"}


def size_form_of(variant: str, images: int, dim: int) -> AppTest:
    form = AppTest.from_string(f"""
import streamlit as st
from cbm.dictionaries.sizes import sound_size
from cbm.registry import DICTIONARIES
from cbm.ui.pages.discover.new_runs import size_form

st.session_state["asked"] = size_form(DICTIONARIES["{variant}"], sound_size({images}, {dim}), {dim}, "scope")
""").run()
    assert not form.exception
    return form


def test_costs_grow_with_width_and_images_and_follow_what_was_measured() -> None:
    def seconds(runs: tuple[DictionaryRun, ...] = (), **changed: int) -> float:
        request = {"width": 1024, "dim": 512, "images": 5000, **changed}
        return training_cost(runs, {"embeddings-a": 512}, variant="batchtopk", epochs=None, **request).seconds

    assert seconds(width=8192) > 2 * seconds()
    assert seconds(images=2_000_000) > 2 * seconds()
    slow = dataclasses.replace(RUN, samples_per_second=2_000.0)
    assert seconds((slow,)) > 2 * seconds((RUN,))
    assert training_cost((slow,), {"embeddings-a": 512}, variant="batchtopk", width=64, dim=64, images=9, epochs=1).measured == 1
    assert training_cost((), {}, variant="pca", width=64, dim=64, images=10**6, epochs=None).seconds < 60


@pytest.mark.parametrize(
    ("settings", "variant", "k"),
    [
        ({"width": 16, "k": 4, "epochs": 60}, "batchtopk", 4),
        ({"variant": "dn-cbm", "epochs": 1}, "dn-cbm", None),
        ({"variant": "random", "width": 20, "k": 3}, "random", 3),
    ],
)
def test_records_of_runs_are_read_as_they_were_asked_for(settings: dict, variant: str, k: int | None, tmp_path: Path) -> None:
    home = Workspace(tmp_path / "workspace")
    vectors = np.random.default_rng(0).normal(size=(300, 128)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", embeddings=vectors)
    embeddings = verbs.import_vectors(tmp_path / "vectors.npz", "demo", "demo", workspace=home).embeddings
    made = verbs.discover([embeddings], **settings, workspace=home, device="cpu", seed=3)
    (run,) = dictionary_runs(home.list("dictionary"), readable_image_sets(home.list("embeddings")))
    assert (run.variant, run.k, run.seed, run.images) == (variant, k, 3, 300)
    assert (run.fvu, run.l0, run.dead) == (made.fvu, made.l0, made.dead)
    assert run.width == settings.get("width", 8 * 128)
    assert bool(history(home.get(run.id))) == (variant in ("batchtopk", "dn-cbm"))
