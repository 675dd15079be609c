"""Bring images or vectors, choose a CLIP backbone, encode them, and search them by text or by picture."""

from cbm.ui.frame import navigation
from cbm.ui.pages import data

navigation.require_entry()
data.show()
