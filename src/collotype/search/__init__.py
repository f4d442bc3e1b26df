"""Pages in, hits with the place on the page out."""
