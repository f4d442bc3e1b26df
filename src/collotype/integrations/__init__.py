"""Collotype's models and indexes in other tools."""
