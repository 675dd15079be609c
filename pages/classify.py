"""The page of classes and heads."""

from cbm.ui.frame import shell
from cbm.ui.pages import classify

shell.require_entry()
classify.show()
