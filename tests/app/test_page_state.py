"""A page's typed state: what URLs say, what links say, and the keys of widgets."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from cbm.ui.frame.state import PAGES, ClassifyPage, ConceptPage, ConceptsPage, DataPage, ImagePage, IntervenePage, of_model


def asked(page: str, **query: str) -> dict[str, object]:
    """What a page's state says under a URL, in a session of its own."""

    def script(name: str) -> None:
        from dataclasses import asdict

        import streamlit as st

        from cbm.ui.frame import state

        st.session_state["answer"] = asdict(getattr(state, name).read())

    app = AppTest.from_function(script, args=(page,))
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception, app.exception
    return dict(app.session_state["answer"])


def test_state_is_what_the_url_says() -> None:
    found = asked("ConceptPage", concept="17", concept_heat="true", range="0.5-1", sample="3", **{"class": "cat"})
    assert found["concept"] == 17
    assert found["heat"] is True
    assert (found["range"], found["sample"], found["of_class"]) == ("0.5-1", 3, "cat")
    assert found["problems"] == ()


def test_concept_without_a_number_is_a_problem_and_the_rest_of_the_url_holds() -> None:
    found = asked("IntervenePage", concept="sea", image="a.png")
    assert found["concept"] is None
    assert found["image"] == "a.png"
    assert found["problems"] == ("The link asks for concept 'sea', but concepts have numbers. Choose one from the list instead.",)


@pytest.mark.parametrize(
    ("page", "query", "field", "value"),
    [
        ("ImagePage", {"patch": "-3"}, "patch", None),
        ("ImagePage", {"patch": "٣"}, "patch", None),
        ("ImagePage", {"concept": "none"}, "concept", "none"),
        ("DataPage", {"data_page": "9" * 12}, "page", 1),
        ("DataPage", {"data_view": "Delete everything"}, "view", "Image sets"),
        ("DataPage", {"like": "7"}, "like", 7),
        ("ConceptsPage", {"concepts_pinned": "3.x.5.-1.٣"}, "pinned", (3, 5)),
        ("ConceptsPage", {"concepts_pinned": ".".join(map(str, range(60)))}, "pinned", tuple(range(48))),
        ("ConceptsPage", {"concepts_show": "dead.nothing.in-use"}, "shown", ("in-use", "dead")),
        ("ClassifyPage", {"truth": ""}, "truth", None),
    ],
)
def test_values_that_cannot_be_used_count_as_absent(page: str, query: dict[str, str], field: str, value: object) -> None:
    assert asked(page, **query)[field] == value


def test_links_say_only_what_differs_from_the_default() -> None:
    assert ConceptPage(17).link().parameters == {"concept": "17"}
    assert ConceptPage(17, heat=True, of_class="sea lion").link().parameters == {
        "concept": "17",
        "concept_heat": "true",
        "class": "sea lion",
    }
    assert DataPage().link().parameters == {}
    assert DataPage(view=DataPage.IMAGES, page=2).link().parameters == {"data_view": "Add images", "data_page": "2"}
    assert ConceptsPage(pinned=(3, 5), shown=("dead", "hidden")).link().parameters == {
        "concepts_pinned": "3.5",
        "concepts_show": "dead.hidden",
    }
    assert ImagePage("a.png", concept="none").link().parameters == {"image": "a.png", "concept": "none"}


def test_links_name_the_chosen_model_unless_it_is_the_default_one() -> None:
    def script() -> None:
        import streamlit as st

        from cbm.ui.frame.state import CHOSEN_MODEL, DEFAULT_MODEL, ConceptPage, JobsPage

        DEFAULT_MODEL.put("model-00000000aaaa")
        CHOSEN_MODEL.put("model-12345678abcd")
        st.session_state["links"] = [
            ConceptPage(1).link().parameters,
            ConceptPage(1).link("model-00000000aaaa").parameters,
            JobsPage().link().parameters,
        ]

    app = AppTest.from_function(script).run()
    assert app.session_state["links"] == [{"concept": "1", "model": "12345678"}, {"concept": "1"}, {}]


def test_what_was_put_is_read_and_none_takes_it_out() -> None:
    def script() -> None:
        from cbm.ui.frame.state import ClassifyPage

        ClassifyPage.put(truth="cat", taken="dog", of_class=None)

    app = AppTest.from_function(script)
    app.query_params["class"] = "bird"
    app.run()
    assert {name: "".join(value) for name, value in app.query_params.items()} == {"truth": "cat", "taken": "dog"}


def test_unknown_field_is_a_mistake_of_the_page() -> None:
    with pytest.raises(KeyError):
        ClassifyPage.put(klass="cat")


def test_keys_are_those_that_links_and_tests_know() -> None:
    assert ConceptsPage.key("search") == "concepts_search"
    assert IntervenePage.key("target") == "explain_target"
    assert IntervenePage.key("apply_edit") == "apply_edit"
    assert ConceptPage.key("class", 3) == "concept_class-3"
    assert ConceptPage.key("rename", 3, "red") == "rename-3-red"


def test_no_two_fields_of_a_page_share_a_query_parameter() -> None:
    for page in PAGES:
        names = [parameter.name for parameter in page.parameters().values()]
        assert len(names) == len(set(names)), page


def test_another_model_takes_along_nothing_that_was_about_the_last() -> None:
    assert set(of_model()) == {"model", "concept", "image", "class", "concepts", "other", "selection"}
