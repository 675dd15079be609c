"""The page that edits a model."""

from cbm.ui.pages import intervene

intervene.show()
