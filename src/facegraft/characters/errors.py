"""The one error of this package."""


class CharacterError(ValueError):
    """A character cannot be loaded, described or drawn; one line says what to mend."""
