"""The root of every error of facegraft's own."""

from __future__ import annotations


class FacegraftError(Exception):
    """What a user can cause and mend; the message is one line that names the file and the mend."""
