"""What a retriever trains on: (query, page) pairs."""
