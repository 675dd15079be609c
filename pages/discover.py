"""Find the concepts that a backbone sees in your images, compare with baselines, and give them names."""

import streamlit as st

from cbm.core.errors import NotFoundError
from cbm.ui.access import modes
from cbm.ui.frame import navigation
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.pages.discover import address, cached, empty
from cbm.ui.pages.discover.detail import run_panel
from cbm.ui.pages.discover.gallery import gallery
from cbm.ui.pages.discover.names import names_panel
from cbm.ui.pages.discover.new_run import new_run
from cbm.ui.pages.discover.sweep_view import sweep_view
from cbm.ui.pages.discover.work import work_panel

navigation.require_entry()

page_title("Discover", "Find the concepts that a backbone sees in your images, compare with baselines, and give them names.")
modes.require_writing_mode()
root = modes.workspace_root()
work_panel(root)
sets = cached.image_sets(root)
if not sets:
    empty.no_images()
    st.stop()
runs = cached.runs(root)
view = address.chosen_view(bool(runs))
if view == address.SWEEP:
    sweep_view(root, sets, runs)
elif view == address.NEW or not runs:
    if not runs:
        empty.no_runs()
    new_run(sets, runs)
else:
    try:
        run = address.chosen_run(runs)
    except NotFoundError as error:
        show_error(str(error))
        run = runs[0]
    if len(runs) > 1:
        gallery(root, runs, run)
    run_panel(root, run)
    names_panel(root, run)
