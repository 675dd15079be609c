"""Two concept models on the same images: where they agree, where they differ, and which concepts they share."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Compare", "Two concept models on the same images: where they agree, where they differ, and which concepts they share.")
