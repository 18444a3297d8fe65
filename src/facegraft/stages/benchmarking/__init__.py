"""Helpers of `evaluate` and `benchmark`."""
