"""Losses and scores: tensors in, tensors out; nothing here knows of the rest of the project."""
