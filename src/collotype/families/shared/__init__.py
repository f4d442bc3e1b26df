"""What the families share, once; each of them imports from here, and this imports none of them."""
