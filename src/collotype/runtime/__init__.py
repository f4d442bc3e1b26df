"""The environment of a run: processes, device, seeds, files, terminal."""
