"""Before a run: its plan, and what would make its number differ."""
