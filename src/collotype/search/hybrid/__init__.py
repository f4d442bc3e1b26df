"""Several ways of finding the same pages as one search: encoders, each with an index of its own, and BM25."""
