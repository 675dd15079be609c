"""Errors that a user can mend: each message says what was wrong, where, and what to do next."""


class CbmError(Exception):
    """Base of every error caused by input; the command line prints it without a traceback and exits 2."""


class NotFoundError(CbmError):
    """Something named by the user (an id, a file, a concept) does not exist."""


class InvalidInputError(CbmError):
    """A file, table or argument is malformed."""


class MismatchError(CbmError):
    """Two artefacts do not belong together (dimension, backbone, space)."""


class MissingWeightsError(CbmError):
    """Backbone weights are not on this machine and cannot be had."""


class CorruptArtifactError(CbmError):
    """A stored artefact or bundle fails its checksum or schema."""


class Cancelled(CbmError):
    """The user cancelled; what had been finished is kept."""


class RejectedImageError(InvalidInputError):
    """One image cannot be used; `reason` says why in words for a list of rejected files."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
