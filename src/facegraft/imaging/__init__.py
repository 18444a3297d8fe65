"""Pictures: reading, aligning, colour, quality, hashing."""
