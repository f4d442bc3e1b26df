"""Code that the families share; it imports none of them."""
