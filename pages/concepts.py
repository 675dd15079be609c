"""The page of all concepts."""

from cbm.ui.pages import concepts

concepts.show()
