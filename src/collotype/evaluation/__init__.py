"""Metrics, and the files their results are kept in."""
