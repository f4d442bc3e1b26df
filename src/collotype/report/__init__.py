"""The output of a run: record, verdict, report."""
