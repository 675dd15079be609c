"""The page of one image."""

from cbm.ui.pages import image

image.show()
