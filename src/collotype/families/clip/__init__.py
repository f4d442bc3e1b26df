"""CLIP: a tower for images and one for captions, trained to agree (arXiv 2103.00020)."""
