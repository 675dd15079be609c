"""The worked examples of docs/extending.md: each is registered while the program runs, and is then found everywhere."""

from __future__ import annotations

import importlib.util
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "app"))
import planted

from cbm import verbs
from cbm.cli import command_line
from cbm.cli.reference import commands_page
from cbm.core.codes import Codes
from cbm.core.errors import InvalidInputError
from cbm.core.run import Run
from cbm.core.settings import settings_fields
from cbm.embeddings.sets import EmbeddingSet
from cbm.heads.base import LinearHead
from cbm.heads.part import HeadRows
from cbm.jobs.records import job_kinds
from cbm.model.concept_model import ConceptModel
from cbm.model.save import save_bundle
from cbm.names.concepts import ActivationStatistics, ConceptTable
from cbm.registry import BOTTLENECKS, DICTIONARIES, HEADS, METRICS, VERBS
from cbm.verbs.base import AsJob, Hosted, Settings, VerbResult, hosted_limits, verb
from cbm.verbs.discover import training_arguments
from cbm.verbs.evaluate import evaluate_model
from cbm.workspace.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (cbm/\w+/\w+\.py)\n(.*?)```", PAGE, re.S))
LINES = dict(re.findall(r'# in cbm/registry\.py, in (\w+)\n"([\w-]+": "[\w.]+:\w+)",', PAGE))
REGISTRIES = {"DICTIONARIES": DICTIONARIES, "BOTTLENECKS": BOTTLENECKS, "HEADS": HEADS, "METRICS": METRICS}


@dataclass(frozen=True)
class Counting(Settings):
    at_least: Annotated[int, Hosted(7)] = 2
    """Fewest to count."""


@dataclass(frozen=True)
class Counted(VerbResult):
    concepts: int


@verb(Counting, command="count-concepts", job=AsJob("Count", "concepts", "Open the concepts"))
def count_concepts(settings: Counting, workspace: Workspace, run: Run) -> Counted:
    """Count them."""
    return Counted(settings.at_least)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Name of the part that each registry got."""
    folder = tmp_path_factory.mktemp("parts")
    added: dict[str, str] = {}
    for registry, line in LINES.items():
        name, place = line.split('": "')
        module, _, attribute = place.partition(":")
        REGISTRIES[registry].add(name, getattr(_module(module, folder), attribute))
        added[registry] = name
    yield added
    for registry, name in added.items():
        REGISTRIES[registry].discard(name)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return planted.build(tmp_path_factory.mktemp("planted") / "workspace")


@pytest.fixture(scope="module")
def images(workspace: Workspace) -> EmbeddingSet:
    sets = [EmbeddingSet.load(artifact) for artifact in workspace.list("embeddings")]
    return next(found for found in sets if len(found.classes) > 2)


def _module(name: str, folder: Path) -> ModuleType:
    file = folder / f"{name.rpartition('.')[2]}.py"
    file.write_text(FILES[name.replace(".", "/") + ".py"], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_example_is_one_short_file_and_one_line() -> None:
    assert set(LINES) == set(REGISTRIES)
    assert len(FILES) == 4
    assert max(len(text.splitlines()) for text in FILES.values()) <= 60


def test_the_dictionary_is_learned_by_the_verb_and_repeats(parts: dict[str, str], workspace: Workspace, images: EmbeddingSet) -> None:
    name = parts["DICTIONARIES"]
    found = verbs.discover([images.id], variant=name, width=12, k=3, workspace=workspace, device="cpu")
    assert 0 < found.fvu < 1
    recorded = workspace.get(found.dictionary).parameters["training"]
    assert recorded == {"variant": name, "width": 12, "k": 3, "candidates": 10_000, "seed": 0}
    assert DICTIONARIES[name].arguments(recorded, images.dim) == {"variant": name, "width": 12, "k": 3, "candidates": 10_000, "seed": 0}
    fields = {field.name: field.help for field in settings_fields(DICTIONARIES[name].settings)}
    assert fields["candidates"] == "Images to choose from, drawn at random."


def test_a_model_on_the_bottleneck_predicts_and_survives_the_disk(parts: dict[str, str], images: EmbeddingSet, tmp_path: Path) -> None:
    model = _model_on_class_means(parts, images)
    save_bundle(model, tmp_path / "bundle", ("bundle",))
    again = ConceptModel.load(tmp_path / "bundle")
    assert again.bottleneck.names == tuple(images.classes)
    np.testing.assert_array_equal(again.predict(images.embeddings).logits, model.predict(images.embeddings).logits)
    assert (model.predict(images.embeddings).labels == images.labels).mean() > 0.5


def test_the_metric_is_among_the_figures(parts: dict[str, str], images: EmbeddingSet) -> None:
    figures = evaluate_model(_model_on_class_means(parts, images), images)
    worst = figures["worst_class"]
    assert worst["accuracy"] == figures["per_class"][worst["name"]] == min(figures["per_class"].values())
    assert "reconstruction" not in figures, "class means do not decode"


def test_the_head_is_one_of_those_that_train_knows(parts: dict[str, str]) -> None:
    dense = np.array([[2, 0, 0], [1, 0, 0], [0, 3, 0], [0, 1, 0]], np.float32)
    codes = Codes(dense.argmax(axis=1)[:, None].astype(np.int32), dense.max(axis=1)[:, None], 3)
    part = HEADS[parts["HEADS"]]
    head = part.fit(HeadRows(codes, np.array([0, 0, 1, 1]), 2), part.settings(shrinkage=0.0), Run())
    np.testing.assert_allclose(head.weight, [[1.5, 0, 0], [0, 2, 0]])
    np.testing.assert_allclose(head.bias, [-1.125, -2.0])


def test_the_command_line_offers_the_parts_and_their_settings(parts: dict[str, str]) -> None:
    runner = CliRunner()
    shown = {
        verb: " ".join(runner.invoke(command_line(), [verb, "--help"], env={"COLUMNS": "250"}).output.split())
        for verb in ("discover", "train")
    }
    assert "exemplars: Pictures that differ most from each other, each a concept." in shown["discover"]
    assert "Images to choose from, drawn at random. Default: 10000. Of exemplars." in shown["discover"]
    assert "nearest-mean: The class whose mean activations are closest" in shown["train"]
    assert "How far each class mean is drawn towards the common mean. Default: 0.1. Of nearest-mean." in shown["train"]


def test_a_setting_of_one_variant_alone_is_an_option_of_the_verb(parts: dict[str, str], workspace: Workspace, images: EmbeddingSet) -> None:
    name = parts["DICTIONARIES"]
    found = verbs.discover([images.id], variant=name, width=12, k=3, options={"candidates": 30}, workspace=workspace, device="cpu")
    recorded = workspace.get(found.dictionary).parameters["training"]
    assert recorded["candidates"] == 30
    back = training_arguments(recorded, images.dim)
    assert back == {"variant": name, "width": 12, "k": 3, "seed": 0, "options": {"candidates": 30}}
    with pytest.raises(InvalidInputError, match="takes no candidates"):
        verbs.discover([images.id], variant="pca", options={"candidates": 30}, workspace=workspace)


def test_a_new_verb_is_a_command_a_job_a_function_a_limit_and_a_section_of_the_docs(workspace: Workspace) -> None:
    VERBS.add("count_concepts", count_concepts)
    try:
        shown = " ".join(CliRunner().invoke(command_line(), ["count-concepts", "--help"], env={"COLUMNS": "250"}).output.split())
        assert "Count them." in shown
        assert "--at-least" in shown
        assert "Fewest to count." in shown
        assert verbs.count_concepts(at_least=3, workspace=workspace).concepts == 3
        assert "count_concepts" in job_kinds()
        assert VERBS["count_concepts"].run_request({"at_least": 4}, workspace, Run()).record() == {"concepts": 4}
        assert hosted_limits()["at_least"] == 7
        assert "| `--at-least` | `at_least` | `2` | Fewest to count. |" in commands_page()
    finally:
        VERBS.discard("count_concepts")
    assert "count_concepts" not in job_kinds()


def test_the_list_of_parts_in_the_docs_has_them(parts: dict[str, str]) -> None:
    page = runpy.run_path(str(ROOT / "docs" / "make_parts.py"))["page"]()
    for registry, name in parts.items():
        assert f"| `{name}` |" in page, registry
    assert "Images to choose from, drawn at random." in page


def _model_on_class_means(parts: dict[str, str], images: EmbeddingSet) -> ConceptModel:
    kind = BOTTLENECKS[parts["BOTTLENECKS"]]
    bottleneck = kind.fit(images.embeddings, images.labels, tuple(images.classes))  # type: ignore[attr-defined]
    table = ConceptTable.unnamed(ActivationStatistics.of(bottleneck.encode(images.embeddings)))
    head = LinearHead(np.eye(len(images.classes), dtype=np.float32), np.zeros(len(images.classes), np.float32), "dense")
    return ConceptModel(bottleneck, head, table, tuple(images.classes), space=images.space)
