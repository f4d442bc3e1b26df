"""Which pages of an index answer a query: all of them exactly, or candidates first (sign bits, token lists)."""
