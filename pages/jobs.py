"""All background work of this workspace: progress, log, and what to do when it fails."""

from cbm.ui.frame import navigation
from cbm.ui.pages import jobs

navigation.require_entry()
jobs.show()
