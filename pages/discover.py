"""Find the concepts that a backbone sees in your images, compare with baselines, and give them names."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Discover", "Find the concepts that a backbone sees in your images, compare with baselines, and give them names.")
