"""Where a run happens: processes, device, seeds, files, the terminal."""
