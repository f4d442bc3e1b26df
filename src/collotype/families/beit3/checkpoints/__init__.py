"""BEiT-3 checkpoints: which files are read (`locations`), and reading them (`reading`)."""
