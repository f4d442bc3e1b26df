"""Retrievers in folders and repositories: where they lie (`places`), and what they hold (`reading`)."""
