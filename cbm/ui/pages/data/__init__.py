"""The data page: image sets and search in them, new images, foreign vectors."""
