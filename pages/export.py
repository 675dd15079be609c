"""Take the concept model with you, edits included; and take one in."""

from cbm.ui.frame import navigation
from cbm.ui.pages import export

navigation.require_entry()
export.show()
