"""The page of one image."""

from cbm.ui.frame import shell
from cbm.ui.pages import image

shell.require_entry()
image.show()
