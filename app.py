"""The app's entry."""
