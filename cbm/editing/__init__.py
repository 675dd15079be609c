"""Edits, recipes, what they do to a head, and which edits would help."""
