"""Edits and recipes, what they do to a head and to held-out images, and which would help."""
