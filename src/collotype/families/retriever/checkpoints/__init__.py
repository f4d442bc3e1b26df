"""Retrievers in folders and repositories: where they are (`locations`), and what they hold (`reading`)."""
