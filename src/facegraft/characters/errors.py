"""The one error of this package."""

from facegraft.core.errors import FacegraftError


class CharacterError(FacegraftError):
    """A character cannot be loaded, described or drawn; one line says what to mend."""
