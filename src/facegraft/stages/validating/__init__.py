"""Helpers of the command `validate`."""
