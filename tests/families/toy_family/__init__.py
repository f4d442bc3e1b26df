"""A fourth family, outside of the package, made as CONTRIBUTING.md says: points on a line, and its slope to find."""
