"""The page of classes and heads."""

from cbm.ui.frame import navigation
from cbm.ui.pages import classify

navigation.require_entry()
classify.show()
