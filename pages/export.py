"""Take the concept model with you, edits included; and take one in."""

import streamlit as st

from cbm.model import export
from cbm.ui.access import modes
from cbm.ui.frame import empty, navigation, resources, session
from cbm.ui.frame.cards import page_title
from cbm.ui.frame.text import counted, plain
from cbm.ui.pages.export import loading, panels

navigation.require_entry()

root = modes.workspace_root()
catalogue = resources.catalogue(root)
page_title("Export", "Take the concept model with you: choose formats, read the model card, download.")
if not catalogue.models:
    empty.no_models("models to export")
    loading.panel(first=True)
    st.stop()
model = session.current_model()
study = resources.study(root, model)
recipe = session.recipe(model)
edited = study.model.with_recipe(recipe)

panels.refusal()
active = len(recipe.active)
st.markdown(
    f"**{plain(catalogue.models[model])}**: {counted(study.concepts, 'concept')}, {len(study.classes):,} classes, "
    + (f"with {counted(active, 'edit')} in force." if active else "without edits.")
)
left, right = st.columns(2, gap="large")
with left:
    st.subheader("What goes into it", anchor=False)
    formats = panels.format_choice(edited)
    files = export.planned_files(edited, formats)
    panels.download_panel(root, model, recipe, study.model.recipe, formats, files)
    panels.contents_panel(files, formats)
    panels.folder_panel(root, model, recipe, study.model.recipe, formats)
with right:
    st.subheader("The model card, as it will read", anchor=False)
    panels.card_panel(export.card_text(edited, study.metrics, formats))
panels.script_panel(root, model, recipe)
panels.example_panel(edited, export.export_name(model, recipe, study.model.recipe), formats)
loading.panel()
