"""Losses and scores: tensors in, tensors out, independent of the rest of the project."""
