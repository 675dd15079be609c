"""The page that edits a model."""

from cbm.ui.frame import shell
from cbm.ui.pages import intervene

shell.require_entry()
intervene.show()
