"""The page of one concept."""

from cbm.ui.frame import shell
from cbm.ui.pages import concept

shell.require_entry()
concept.show()
