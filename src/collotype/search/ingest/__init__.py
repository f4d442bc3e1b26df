"""Files to pages to an index: what changed since the last time, and nothing that a broken file can stop."""

from collotype.search.ingest.ingest import Report, ingest
from collotype.search.ingest.limits import Limits, ReadingSettings
from collotype.search.ingest.sources import SourceLedger

__all__ = ["Limits", "ReadingSettings", "Report", "SourceLedger", "ingest"]
