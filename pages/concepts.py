"""The page of all concepts."""

from cbm.ui.frame import navigation
from cbm.ui.pages import concepts

navigation.require_entry()
concepts.show()
