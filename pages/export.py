"""Take the concept model with you: choose formats, read the model card, download."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Export", "Take the concept model with you: choose formats, read the model card, download.")
