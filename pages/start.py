"""What this is, and what it found: the first paint is a finished result."""

import streamlit as st

from cbm.ui.access import modes
from cbm.ui.frame import cards, navigation, resources, session
from cbm.ui.pages.start import own_images, panels, results, shown
from cbm.ui.widgets import demo_build
from cbm.ui.widgets.galleries import concept_grid

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
cards.page_title(
    "Classifiers you can read, question and correct",
    "CBM Studio finds the concepts that a vision model already sees, gives them names, and builds a classifier from nothing else. "
    "So every prediction is a short sum of named concepts, and you can change it.",
)
if modes.may_write():
    own_images.watch(root, bool(catalogue.models))
if not catalogue.models:
    if modes.may_write():
        demo_build.panel()
        st.subheader("Or use your own images", anchor=False)
        own_images.panel(root)
    else:
        demo_build.nothing_to_show()
    st.subheader("The way from images to a model that you can correct", anchor=False)
    panels.pipeline(shown.steps_without_model(root), address={}, key="pipeline")
    st.stop()

model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

st.subheader(catalogue.models[model], anchor=False)
st.caption(catalogue.about(model))
cards.headline_row(results.headlines(study, study.metrics), key="headlines")

example = shown.example(root, model)
if example is not None:
    panels.read_aloud(study.prediction(example.row, recipe), key="example")
wrong = study.rows(wrong_only=True)
with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
    if st.button(
        "Correct a wrong prediction" if wrong else "See why it predicts what it predicts",
        key="go_intervene",
        type="primary",
        icon=":material/tune:",
    ):
        st.switch_page(navigation.INTERVENE, query_params=address | ({"image": study.item(wrong[0])} if wrong else {}))
    st.page_link(navigation.CONCEPTS, label=f"Browse all {study.concepts:,} concepts", icon=":material/interests:", query_params=address)
    if modes.may_write():
        st.markdown(":material/add_photo_alternate: [Use your own images](#own)", width="content")

st.subheader("Try it", anchor=False)
st.caption("Three things to do. The figures are measured on this model's held-out images; nothing is lost, for every edit can be undone.")
panels.guides(
    [(guide, session.link(guide.model or model, catalogue.default)) for guide in shown.scenarios_of(root, model)],
    key="guides",
)

st.subheader("From images to a model that you can correct", anchor=False)
panels.pipeline(shown.steps_of(root, model, len(recipe.active)), address=address, key="pipeline")

st.subheader("What it sees", anchor=False)
st.caption("The concepts that decide most, each with the held-out images that show most of it. Open one to see all of its evidence.")
tiles = [tile for tile in study.concept_tiles(recipe) if not tile.hidden and tile.frequency > 0]
concept_grid(study.with_pictures(sorted(tiles, key=lambda tile: -tile.predictiveness)[:8]), key="start_concepts", address=address)

if modes.may_write():
    st.subheader("Use your own images", anchor="own")
    own_images.panel(root)
