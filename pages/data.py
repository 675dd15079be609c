"""Bring images or vectors, choose a CLIP backbone, encode them, and search them by text or by picture."""

from cbm.ui.frame import shell
from cbm.ui.pages import data

shell.require_entry()
data.show()
