"""What a run will do, and what would make its number differ: resolved before it starts."""
