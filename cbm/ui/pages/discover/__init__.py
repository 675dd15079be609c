"""The discover page: runs as a gallery, new runs, sweeps, and names."""
