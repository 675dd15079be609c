"""Train a classifier that uses only a few concepts per class, and see where it is right and wrong."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Classify", "Train a classifier that uses only a few concepts per class, and see where it is right and wrong.")
