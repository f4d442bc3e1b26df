"""Page retrievers: late interaction (ColPali and similar) and single vectors (BiPali and similar)."""
