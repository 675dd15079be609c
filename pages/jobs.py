"""All long work of this workspace: how far it is, what it said, and what to do when it failed."""

from cbm.ui.frame import navigation
from cbm.ui.pages import jobs

navigation.require_entry()
jobs.show()
