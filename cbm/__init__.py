"""CBM Studio: discover, name, train, edit and export concept bottleneck models on frozen CLIP embeddings."""

from cbm.core import compat

compat.install()

__version__ = "0.1.0"
