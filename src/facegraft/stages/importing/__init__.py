"""Helpers of the command `import`."""
