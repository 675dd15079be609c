"""The encoder behind HTTP (`server`) and its typed client (`client`)."""
