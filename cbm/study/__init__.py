"""A model beside its images: what every page shows, as plain values. No Streamlit."""
