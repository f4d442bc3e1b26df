"""Hybrid search: several encoders, each with its own index, and BM25."""
