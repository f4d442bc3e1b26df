"""Files to pages to an index: what changed since the last time, and nothing that a broken file can stop."""

from collotype.search.ingest.ingest import Report, ingest
from collotype.search.ingest.limits import Limits, Settings
from collotype.search.ingest.sources import Ledger

__all__ = ["Ledger", "Limits", "Report", "Settings", "ingest"]
