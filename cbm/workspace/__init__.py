"""Artefacts on disk, typed, written once, under ids that are digests of what made them."""

from cbm.workspace.workspace import Artifact, Workspace

__all__ = ["Artifact", "Workspace"]
