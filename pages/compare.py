"""The page that compares two models."""

from cbm.ui.frame import navigation
from cbm.ui.pages import compare

navigation.require_entry()
compare.show()
