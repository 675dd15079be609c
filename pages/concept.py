"""The page of one concept."""

from cbm.ui.pages import concept

concept.show()
