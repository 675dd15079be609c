"""Bring images or vectors, choose a CLIP backbone, encode them, and search them by words or by picture."""

from cbm.core.errors import NotFoundError
from cbm.study.image_sets import find_image_set
from cbm.ui.access import modes
from cbm.ui.frame import navigation, resources, session
from cbm.ui.frame.cards import page_title, show_error
from cbm.ui.pages.data import adding, importing, library, work
from cbm.ui.pages.data.collection import collection

navigation.require_entry()

page_title("Data", "Bring images or vectors, choose a CLIP backbone, encode them, and search them by words or by picture.")
root = modes.workspace_root()
adding.show_refusal()
work.panel(root)
found = collection(root)
cards = found.cards
view = work.view_choice()
for message in found.broken:
    show_error(message)

if view == work.IMAGES:
    adding.add_images(root)
elif view == work.VECTORS:
    importing.import_vectors(root)
elif not cards:
    work.no_sets(root)
else:
    try:
        card = find_image_set(cards, session.asked(library.SET))
    except NotFoundError as error:
        show_error(str(error))
        card = cards[0]
    library.set_gallery(cards, card.id)
    artifact = next(artifact for artifact in resources.artifacts(root, "embeddings") if artifact.id == card.id)
    library.opened_set(root, card, artifact)
