"""facegraft: transplant facial identity onto game virtual characters."""
