"""The pipeline on the known-answer world."""
