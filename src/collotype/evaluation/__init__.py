"""Metrics and result files."""
