"""All background work of this workspace: progress, log, and what to do when it fails."""

from cbm.ui.frame import shell
from cbm.ui.pages import jobs

shell.require_entry()
jobs.show()
