"""The page that edits a model."""

from cbm.ui.frame import navigation
from cbm.ui.pages import intervene

navigation.require_entry()
intervene.show()
