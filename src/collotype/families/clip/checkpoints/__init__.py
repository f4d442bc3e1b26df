"""CLIP checkpoints: which files are read (`locations`), and reading them (`reading`)."""
