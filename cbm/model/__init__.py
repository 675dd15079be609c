"""The concept model: what predicts, explains, and is exported."""

from cbm.model.concept_model import ConceptModel

__all__ = ["ConceptModel"]
