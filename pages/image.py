"""One image: what the model says, which concepts it sees, and where it sees them."""

from cbm.ui import navigation
from cbm.ui.cards import page_title

navigation.require_entry()

page_title("Image", "One image: what the model says, which concepts it sees, and where it sees them.")
