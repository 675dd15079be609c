"""Bring images or vectors, choose a CLIP backbone, encode them, and search them by words or by picture."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Data", "Bring images or vectors, choose a CLIP backbone, encode them, and search them by words or by picture.")
