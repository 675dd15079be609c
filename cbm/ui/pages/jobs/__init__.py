"""How jobs are put in words, listed and shown."""
