"""Modes, limits, visitors, uploads: who may do what."""
