"""The page that compares two models."""

from cbm.ui.frame import shell
from cbm.ui.pages import compare

shell.require_entry()
compare.show()
