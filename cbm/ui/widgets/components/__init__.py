"""Components of our own: where Streamlit has no widget that does it. Their JavaScript and style are in `assets/components`."""
