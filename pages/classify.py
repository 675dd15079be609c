"""The page of classes and heads."""

from cbm.ui.pages import classify

classify.show()
