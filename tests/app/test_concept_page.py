"""One concept's page: evidence, filters, edits, relations, and every way in which its address can be wrong."""

from __future__ import annotations

from pathlib import Path

import planted
import planted_seen
import pytest
from planted import OpenApp
from streamlit.testing.v1 import AppTest

from cbm.backbones.reference import BackboneReference
from cbm.editing.recipe import Recipe
from cbm.images.scenes import CONCEPTS
from cbm.study import evidence, relations
from cbm.study.study import Study
from cbm.ui.frame import resources
from cbm.ui.frame.links import Selection, encode_selection
from cbm.workspace.workspace import Workspace

CONCEPT = 3
NAME = CONCEPTS[CONCEPT].name


@pytest.fixture(scope="module")
def study(workspace: Workspace) -> Study:
    root = str(workspace.root)
    return resources.study(root, resources.catalogue(root).default)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_seen.build(tmp_path_factory.mktemp("seen") / "workspace").root


def pictures(app: AppTest, key: str) -> list[str]:
    return [image.proto.imgs[0].alt for image in app.grid(key=key).image]


def drawn(app: AppTest, key: str) -> list[str]:
    return [image.value[0] for image in app.grid(key=key).image]


def links(app: AppTest) -> list[str]:
    return [str(link.value) for link in app.get("page_link")]


def test_three_rows_of_evidence_tell_what_the_model_makes_of_each_image(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    strongest = study.columns[:, [CONCEPT]].toarray().ravel().argsort()[::-1][0]
    assert study.items[strongest] in pictures(app, "concept_pictures")[0]
    for key in ("concept_pictures", "concept_middle", "concept_random"):
        assert len(pictures(app, key)) == 6
        assert all("predicted as" in text for text in pictures(app, key))
    assert all(str(link.value)[0] in "✓✗" for link in app.grid(key="concept_random").page_link)


def test_another_sample_is_another_row_and_its_address_restores_it(open_app: OpenApp) -> None:
    app = open_app("concept", concept=CONCEPT)
    first = pictures(app, "concept_random")
    app.button(key="concept_sample").click().run()
    second = pictures(app, "concept_random")
    assert second != first
    assert app.query_params["sample"] in ("1", ["1"])
    assert pictures(open_app("concept", concept=CONCEPT, sample=1), "concept_random") == second
    assert pictures(open_app("concept", concept=CONCEPT, sample="x"), "concept_random") == first


def test_a_bar_of_the_histogram_filters_the_images_until_it_is_cleared(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    cut = evidence.bins(study.firing((CONCEPT,)))
    index = int(cut.counts.argmax())
    app.selectbox(key=f"concept_range-{CONCEPT}").select(cut.label(index)).run()
    assert len(pictures(app, "concept_bin")) == min(24, int(cut.counts[index]))
    assert app.query_params["range"] in (cut.label(index), [cut.label(index)])
    app.button(key="concept_range_clear").click().run()
    assert pictures(app, "concept_pictures")
    assert "range" not in app.query_params


def test_address_with_a_range_shows_its_images_and_a_wrong_one_shows_all(open_app: OpenApp, study: Study) -> None:
    cut = evidence.bins(study.firing((CONCEPT,)))
    app = open_app("concept", concept=CONCEPT, range=cut.label(0))
    assert len(pictures(app, "concept_bin")) == cut.counts[0]
    assert pictures(open_app("concept", concept=CONCEPT, range="9-8"), "concept_pictures")


def test_members_of_a_class_with_most_and_least_of_it(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    chosen = app.selectbox(key=f"concept_class-{CONCEPT}").value
    assert all(f": {chosen}, predicted as" in text for text in pictures(app, "concept_high") + pictures(app, "concept_low"))
    other = next(name for name in study.class_names if name != chosen)
    app.selectbox(key=f"concept_class-{CONCEPT}").select(other).run()
    assert app.query_params["class"] in (other, [other])
    assert open_app("concept", concept=CONCEPT, **{"class": other}).selectbox(key=f"concept_class-{CONCEPT}").value == other


def test_merge_shows_two_concepts_as_one_until_undo(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    fired = study.firing((CONCEPT,))
    into = relations.nearest_directions(study, fired, Recipe().decisions(), 1)[0].concept
    app.button(key=f"merge-{CONCEPT}-{into}").click().run()
    name = study.concept_names[into]
    assert app.title[0].value == name
    both = study.firing((into, CONCEPT))
    assert {metric.label: metric.value for metric in app.metric}["Fires on"] == f"{both.frequency:.1%}"
    app.button(key="undo").click().run()
    assert app.title[0].value == NAME


def test_a_concept_to_merge_with_is_found_by_name(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    app.text_input(key=f"merge_search-{CONCEPT}").set_value("checkered").run()
    wanted = study.concept_names.index("checkered")
    app.button(key=f"merge-{CONCEPT}-{wanted}").click().run()
    assert app.title[0].value == "checkered"
    recipe = next(iter(app.session_state["recipes"].values()))
    assert [type(edit).__name__ for edit in recipe.active] == ["MergeConcepts"]


def test_merged_concepts_can_be_separated_and_hidden_ones_shown_again(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    into = relations.nearest_directions(study, study.firing((CONCEPT,)), Recipe().decisions(), 1)[0].concept
    app.button(key=f"merge-{CONCEPT}-{into}").click().run()
    app.button(key="separate").click().run()
    assert app.title[0].value == NAME
    app.button(key="hide").click().run()
    app.button(key="unhide").click().run()
    assert app.button(key="hide")
    recipe = next(iter(app.session_state["recipes"].values()))
    assert [step.enabled for step in recipe.steps] == [False, False]


def test_a_selection_of_images_narrows_the_evidence(open_app: OpenApp, study: Study) -> None:
    rows = study.firing((CONCEPT,)).rows
    chosen = [*rows[:4].tolist(), *(row for row in range(study.image_count) if row not in set(rows.tolist()))][:6]
    app = open_app("concept", concept=CONCEPT, selection=encode_selection(Selection.of("images", chosen, None)))
    assert len(pictures(app, "concept_pictures")) == 4
    assert any("On 4 images of 6" in caption.value for caption in app.caption)
    nothing = encode_selection(Selection.of("images", chosen[4:], None))
    assert "No image of the selection" in open_app("concept", concept=CONCEPT, selection=nothing).info[0].value


def test_relations_are_links_to_other_concepts(open_app: OpenApp, study: Study) -> None:
    app = open_app("concept", concept=CONCEPT)
    companion = relations.co_firing(study, study.firing((CONCEPT,)), Recipe().decisions(), 1)[0]
    assert study.concept_names[companion.concept] in links(app)
    assert any("× chance" in caption.value for caption in app.caption)
    assert any(caption.value.startswith("cosine") for caption in app.caption)


def test_neighbours_in_the_list_are_one_step_away(open_app: OpenApp) -> None:
    app = open_app("concept", concept=CONCEPT)
    steps = {str(link.value): link.proto.query_string for link in app.get("page_link") if link.value in ("Previous", "Next")}
    assert steps == {"Previous": f"concept={CONCEPT - 1}", "Next": f"concept={CONCEPT + 1}"}


def test_known_concept_with_the_images_on_which_they_differ(open_app: OpenApp) -> None:
    app = open_app("concept", concept=CONCEPT)
    assert any(heading.value == "Known concepts" for heading in app.subheader)
    told = [text.value for text in app.markdown] + [box.value for box in app.success]
    assert any("the concept says no" in text or "agrees with" in text or "The concept says yes" in text for text in told)


def test_silent_concept_says_so(open_app: OpenApp, study: Study) -> None:
    silent = next((tile.index for tile in study.concepts(Recipe()) if tile.frequency == 0), None)
    if silent is None:
        pytest.skip("every planted concept fires")
    app = open_app("concept", concept=silent)
    assert "No held-out image activates" in app.info[0].value


def test_heat_maps_change_the_pictures_and_stay_in_the_address(open_app: OpenApp, seen: Path) -> None:
    app = open_app("concept", root=seen, concept=CONCEPT)
    plain = drawn(app, "concept_pictures")
    app.toggle(key="concept_heat").set_value(True).run()
    assert not app.info
    lit = drawn(app, "concept_pictures")
    assert len(lit) == len(plain)
    assert all(before != after for before, after in zip(plain, lit, strict=True))
    again = open_app("concept", root=seen, concept=CONCEPT, concept_heat="true")
    assert drawn(again, "concept_pictures") == lit


def test_heat_maps_without_the_weights_are_explained(open_app: OpenApp) -> None:
    app = open_app("concept", concept=CONCEPT)
    app.toggle(key="concept_heat").set_value(True).run()
    assert "not those that encoded these images" in app.info[0].value
    assert pictures(app, "concept_pictures")


def test_vectors_from_elsewhere_offer_no_heat_map(open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planted, "BACKBONE", BackboneReference.foreign("ViT-B-32", "openai"))
    root = planted.build(tmp_path / "workspace").root
    app = open_app("concept", root=root, concept=CONCEPT, concept_heat="true")
    toggle = app.toggle(key="concept_heat")
    assert toggle.disabled
    assert "imported as vectors from ViT-B-32/openai" in toggle.help
    assert pictures(app, "concept_pictures")


def test_unknown_concepts_are_explained(open_app: OpenApp) -> None:
    for address in (5000, "red", "-1"):
        app = open_app("concept", concept=address)
        assert str(address) in app.error[0].value


def test_no_concept_in_the_address_leads_to_the_list(open_app: OpenApp) -> None:
    assert open_app("concept").title[0].value == "Concepts"


def test_empty_workspace_teaches(open_app: OpenApp, tmp_path: Path) -> None:
    assert open_app("concept", root=tmp_path / "nothing", concept=3).subheader[0].value == "No concepts yet"
