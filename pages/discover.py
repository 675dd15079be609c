"""Find the concepts that a backbone sees in your images, compare with baselines, and give them names."""

from cbm.ui.frame import shell
from cbm.ui.pages import discover

shell.require_entry()
discover.show()
