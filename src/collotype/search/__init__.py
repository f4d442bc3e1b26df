"""Search in pages: an index, encoders, and hits with the matching regions."""
