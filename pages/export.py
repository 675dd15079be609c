"""Take the concept model with you, edits included; and take one in."""

from cbm.ui.frame import shell
from cbm.ui.pages import export

shell.require_entry()
export.show()
