"""What everything rests on: errors, progress, codes, files and locks, devices, paths. Imports nothing of the project."""
