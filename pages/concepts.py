"""The page of all concepts."""

from cbm.ui.frame import shell
from cbm.ui.pages import concepts

shell.require_entry()
concepts.show()
