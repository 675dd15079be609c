"""The page of one concept."""

from cbm.ui.frame import navigation
from cbm.ui.pages import concept

navigation.require_entry()
concept.show()
