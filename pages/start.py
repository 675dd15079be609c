"""What this is, and what it found: the first paint is a finished result."""

from cbm.ui.frame import shell
from cbm.ui.pages import start

shell.require_entry()
start.show()
