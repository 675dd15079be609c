"""The start page: a finished result, the line that made it, guided scenarios, and the way to images of one's own."""
