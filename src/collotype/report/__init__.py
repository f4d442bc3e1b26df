"""What a run leaves behind: its record, the verdict, the page to read."""
