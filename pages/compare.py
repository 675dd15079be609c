"""Two concept models on the same images: `?model=&other=` says which."""

import streamlit as st

from cbm.core.errors import MismatchError, NotFoundError
from cbm.study.classes import changes_predictions
from cbm.study.comparison import Alignment, align, compare
from cbm.study.concept_pairs import Matches, match_concepts, pair_list
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.pages.compare import concept_panel, panels, sides

navigation.require_entry()


@st.cache_resource(max_entries=8, show_spinner="Matching concepts …")
def matches_of(root: str, first: str, second: str, least: float) -> Matches:
    """Kept by ids: the matches of two large dictionaries take a second or two."""
    return match_concepts(resources.study(root, first).model, resources.study(root, second).model, least)


@st.cache_resource(max_entries=8, show_spinner=False)
def aligned_images(root: str, first: str, second: str) -> Alignment:
    """Kept by ids, as above."""
    return align(resources.study(root, first), resources.study(root, second))


root = modes.workspace_root()
catalogue = resources.catalogue(root)
page_title("Compare", "Two concept models on the same images: where they agree, where they differ, and which concepts they share.")
if not catalogue.models:
    empty.no_models("models to compare")
    st.stop()
model = session.current_model()
study = resources.study(root, model)
stored_edits = changes_predictions(study.model.recipe)
edited = sides.is_edited(model, study)
try:
    choice = sides.choose(root, catalogue.models, model, session.asked("other"), edited=edited, stored_edits=stored_edits)
except NotFoundError as error:
    show_error(str(error))
    choice = sides.choose(root, catalogue.models, model, None, edited=edited, stored_edits=stored_edits)
if choice is None:
    panels.nothing_to_compare()
    st.stop()
if choice.instead:
    st.caption(f":material/info: “{catalogue.models[model]}” has no edits and shares no test images with another model; these two do.")
panels.selectors(catalogue.models, choice, sides.offered(root, list(catalogue.models), choice))
try:
    left, right = sides.open_sides(root, catalogue.models, choice)
    aligned = aligned_images(root, left.model, right.model)
except MismatchError as error:
    show_error(str(error))
    st.stop()
recipes = left.recipe, right.recipe
comparison = compare(left.study, right.study, recipes, aligned)
addresses = session.link(left.model, catalogue.default), session.link(right.model, catalogue.default)

panels.headline_panel(left, right, aligned, comparison)
first, second = st.columns(2, gap="large")
with first:
    panels.nec_panel(left, right, comparison)
with second:
    panels.class_panel(comparison)
st.fragment(panels.images_panel)(left, right, aligned, comparison, address=addresses[0])


@st.fragment
def concepts() -> None:
    matches = matches_of(root, left.model, right.model, concept_panel.least_cosine())
    concept_panel.concepts_panel(left, right, matches, pair_list(left.study, right.study, recipes, matches), addresses=addresses)


concepts()
