"""CLIP: a tower for pictures and one for captions, trained to agree (arXiv 2103.00020)."""
