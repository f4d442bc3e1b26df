"""Page retrievers: late interaction (ColPali and its kin) and single vectors (BiPali and its kin)."""
