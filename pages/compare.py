"""The page that compares two models."""

from cbm.ui.pages import compare

compare.show()
