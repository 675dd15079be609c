"""The page of one image."""

from cbm.ui.frame import navigation
from cbm.ui.pages import image

navigation.require_entry()
image.show()
