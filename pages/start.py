"""What this is, and what it found: the first paint is a finished result."""

import streamlit as st

from cbm.ui import access, cards, demo_build, figures, navigation, resources, results, session
from cbm.ui.galleries import concept_grid

navigation.require_entry()

catalogue = resources.catalogue(access.workspace_root())
cards.page_title(
    "Classifiers you can read, question and correct",
    "CBM Studio finds the concepts that a vision model already sees, gives them names, and builds a classifier from nothing else. "
    "So every prediction is a short sum of named concepts, and you can change it.",
)
if not catalogue.models:
    demo_build.panel(access.workspace_root())
    st.stop()

model = session.current_model()
study = resources.study(access.workspace_root(), model)
recipe = session.recipe(model)
address = session.link(model, catalogue.default)

st.subheader(catalogue.models[model], anchor=False)
st.caption(catalogue.about(model))
cards.headline_row(results.headlines(study, study.metrics), key="headlines")

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

st.subheader("What it sees", anchor=False)
st.caption("The concepts that decide most, each with the held-out images that show most of it. Open one to see all of its evidence.")
tiles = [tile for tile in study.concept_tiles(recipe) if not tile.hidden and tile.frequency > 0]
concept_grid(study.with_pictures(sorted(tiles, key=lambda tile: -tile.predictiveness)[:8]), key="start_concepts", address=address)

st.subheader("How it was made", anchor=False)
cards.pipeline(results.stages(study, study.training_images), key="pipeline")
curve = results.nec_curve(study.metrics)
if curve is not None:
    st.subheader("What readability costs", anchor=False)
    st.caption("Accuracy when each class may use only a few concepts, beside a classifier that may use the whole embedding.")
    st.plotly_chart(
        figures.nec_curve(curve),
        key="nec",
        config=figures.CHART_OPTIONS,
        alt="Accuracy against the number of concepts per class, with the linear probe as a line",
    )
