"""Our models in other people's tools."""
