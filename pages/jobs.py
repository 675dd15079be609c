"""All long work of this workspace: how far it is, what it said, and what to do when it failed."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Jobs", "All long work of this workspace: how far it is, what it said, and what to do when it failed.")
