"""BEiT-3: one transformer over an image's patches and a question's words, trained to answer (arXiv 2208.10442)."""
