"""What this is, and what it found: the first paint is a finished result."""

from cbm.ui.frame import navigation
from cbm.ui.pages import start

navigation.require_entry()
start.show()
